CREATE TABLE things (name text PRIMARY KEY);

-- Places that are cleared without waiting for what is in them, which may be gone for good.
alter table placement add column forced boolean not null default false;

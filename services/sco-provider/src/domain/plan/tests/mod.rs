mod examples;
mod properties;
mod walk;
mod world;

mod examples;
mod properties;
mod succession;
mod walk;
mod world;

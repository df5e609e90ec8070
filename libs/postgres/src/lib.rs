//! Postgres as every storing service uses it: pool, migrations, notifications.

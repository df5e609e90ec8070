use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use tokio::sync::{broadcast, watch};

use crate::{
    Row, Uuid,
    monitor::{MonitoredTable, TableUpdates},
};

/// How many changes a subscriber may lag behind before it misses some.
const CHANGES_KEPT: usize = 4096;

/// A copy in memory of the monitored tables, as new as the connection's last message. While there
/// is no connection it stays as it was.
///
/// When a transaction's answer arrives, its changes are in the replica: the server sends them
/// first. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Replica(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    tables: RwLock<Tables>,
    /// Counts the batches of changes; what waits for a state looks again whenever it grows.
    revision: watch::Sender<u64>,
    changes: broadcast::Sender<Change>,
}

/// The monitored tables.
#[derive(Debug, Default)]
pub struct Tables(HashMap<String, Table>);

/// A monitored table.
#[derive(Debug)]
struct Table {
    rows: HashMap<Uuid, Arc<Row>>,
    index: Option<Index>,
}

/// Rows by the string in one column.
#[derive(Debug)]
struct Index {
    column: String,
    rows: HashMap<String, Uuid>,
}

/// What became of a row.
#[derive(Clone, Debug)]
pub struct Change {
    /// Its table.
    pub table: Arc<str>,
    /// Its identifier.
    pub uuid: Uuid,
    /// As it was; `None`: there was none.
    pub old: Option<Arc<Row>>,
    /// As it is; `None`: it is gone.
    pub new: Option<Arc<Row>>,
}

impl Replica {
    pub(crate) fn new(tables: &[MonitoredTable]) -> Self {
        Self(Arc::new(Inner {
            tables: RwLock::new(Tables::new(tables)),
            revision: watch::Sender::new(0),
            changes: broadcast::Sender::new(CHANGES_KEPT),
        }))
    }

    /// Looks at the tables. Writers wait meanwhile, so be brief.
    pub fn read<R>(&self, look: impl FnOnce(&Tables) -> R) -> R {
        look(&self.0.tables.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Looks at the tables, and subscribes to every change after that. A receiver that lags too
    /// far behind is told so instead of being sent everything.
    pub fn read_and_subscribe<R>(
        &self,
        look: impl FnOnce(&Tables) -> R,
    ) -> (R, broadcast::Receiver<Change>) {
        let tables = self.0.tables.read().unwrap_or_else(PoisonError::into_inner);
        // Under the lock, because changes are sent under it.
        (look(&tables), self.0.changes.subscribe())
    }

    /// Looks at the tables now and after every change until something is found.
    pub async fn wait_for<R>(&self, mut look: impl FnMut(&Tables) -> Option<R>) -> R {
        let mut revision = self.0.revision.subscribe();
        loop {
            if let Some(found) = self.read(&mut look) {
                return found;
            }
            if revision.changed().await.is_err() {
                // The sender lives as long as `self`.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Takes over what a monitor reported when it began: rows it does not mention are gone.
    pub(crate) fn replace(&self, snapshot: TableUpdates) {
        let TableUpdates(mut snapshot) = snapshot;
        self.read(|tables| {
            for (name, table) in &tables.0 {
                let rows = snapshot.entry(name.clone()).or_default();
                for uuid in table.rows.keys() {
                    rows.entry(*uuid).or_insert(None);
                }
            }
        });
        self.update(TableUpdates(snapshot));
    }

    /// Takes over what a monitor reports.
    pub(crate) fn update(&self, updates: TableUpdates) {
        let mut tables = self.0.tables.write().unwrap_or_else(PoisonError::into_inner);
        for (name, rows) in updates.0 {
            let Some(table) = tables.0.get_mut(&name) else { continue };
            let name: Arc<str> = name.into();
            for (uuid, row) in rows {
                let new = row.map(Arc::new);
                let old = table.put(uuid, new.clone());
                if old != new {
                    // Nobody may be subscribed.
                    let change = Change { table: Arc::clone(&name), uuid, old, new };
                    let _ = self.0.changes.send(change);
                }
            }
        }
        drop(tables);
        self.0.revision.send_modify(|revision| *revision += 1);
    }
}

impl Tables {
    /// Empty tables.
    pub fn new(tables: &[MonitoredTable]) -> Self {
        let empty = |table: &MonitoredTable| Table {
            rows: HashMap::new(),
            index: table.index.clone().map(|column| Index { column, rows: HashMap::new() }),
        };
        Self(tables.iter().map(|table| (table.name.clone(), empty(table))).collect())
    }

    /// Sets a row by hand, as a monitor would: for what is to be tested without a server. Without
    /// effect on a table that is not monitored.
    pub fn put(&mut self, table: &str, uuid: Uuid, row: Row) {
        if let Some(table) = self.0.get_mut(table) {
            table.put(uuid, Some(Arc::new(row)));
        }
    }

    fn table(&self, name: &str) -> Option<&Table> {
        self.0.get(name)
    }

    /// The row of a table with this identifier.
    pub fn row(&self, table: &str, uuid: Uuid) -> Option<&Arc<Row>> {
        self.table(table)?.rows.get(&uuid)
    }

    /// The row of a table with this string in the column by which it is indexed.
    pub fn find(&self, table: &str, key: &str) -> Option<(Uuid, &Arc<Row>)> {
        let table = self.table(table)?;
        let uuid = *table.index.as_ref()?.rows.get(key)?;
        Some((uuid, table.rows.get(&uuid)?))
    }

    /// All rows of a table, in no order.
    pub fn rows(&self, table: &str) -> impl Iterator<Item = (Uuid, &Arc<Row>)> {
        self.table(table)
            .into_iter()
            .flat_map(|table| table.rows.iter().map(|(uuid, row)| (*uuid, row)))
    }
}

impl Table {
    /// Sets a row, or with `None` removes it. Returns what it was.
    fn put(&mut self, uuid: Uuid, row: Option<Arc<Row>>) -> Option<Arc<Row>> {
        let new = row.clone();
        let old = match row {
            Some(row) => self.rows.insert(uuid, row),
            None => self.rows.remove(&uuid),
        };
        if let Some(index) = &mut self.index {
            index.forget(uuid, old.as_deref());
            index.learn(uuid, new.as_deref());
        }
        old
    }
}

impl Index {
    /// A key may have passed to another row in the same batch of changes: that one stays.
    fn forget(&mut self, uuid: Uuid, row: Option<&Row>) {
        if let Some(key) = row.and_then(|row| row.string(&self.column))
            && self.rows.get(key) == Some(&uuid)
        {
            self.rows.remove(key);
        }
    }

    fn learn(&mut self, uuid: Uuid, row: Option<&Row>) {
        if let Some(key) = row.and_then(|row| row.string(&self.column)) {
            self.rows.insert(key.to_owned(), uuid);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Uuid = Uuid::from_u128(1);
    const B: Uuid = Uuid::from_u128(2);

    fn replica() -> Replica {
        Replica::new(&[MonitoredTable::new("Bridge", ["name"]).indexed_by("name")])
    }

    fn updates<const N: usize>(rows: [(Uuid, Option<&str>); N]) -> TableUpdates {
        let rows = rows.map(|(uuid, name)| (uuid, name.map(|name| Row::new().with("name", name))));
        TableUpdates(HashMap::from([("Bridge".to_owned(), HashMap::from(rows))]))
    }

    fn find(replica: &Replica, name: &str) -> Option<Uuid> {
        replica.read(|tables| tables.find("Bridge", name).map(|(uuid, _)| uuid))
    }

    #[test]
    fn rows_are_found_by_their_index_while_they_exist() {
        let replica = replica();
        replica.update(updates([(A, Some("a"))]));
        assert_eq!(find(&replica, "a"), Some(A));
        replica.update(updates([(A, Some("b"))]));
        assert_eq!((find(&replica, "a"), find(&replica, "b")), (None, Some(A)));
        replica.update(updates([(A, None)]));
        assert_eq!(find(&replica, "b"), None);
    }

    #[test]
    fn a_key_that_passes_to_another_row_stays_found() {
        // The order within a batch is the hash map's, so try until both have occurred.
        for _ in 0..64 {
            let replica = replica();
            replica.update(updates([(A, Some("a"))]));
            replica.update(updates([(A, None), (B, Some("a"))]));
            assert_eq!(find(&replica, "a"), Some(B));
        }
    }

    #[test]
    fn a_new_snapshot_is_told_as_its_difference() {
        let replica = replica();
        replica.replace(updates([(A, Some("a")), (B, Some("b"))]));
        let (count, mut changes) =
            replica.read_and_subscribe(|tables| tables.rows("Bridge").count());
        assert_eq!(count, 2);
        replica.replace(updates([(A, Some("a"))]));
        let change = changes.try_recv().unwrap();
        assert_eq!((change.uuid, change.new), (B, None));
        assert!(changes.try_recv().is_err());
    }

    #[tokio::test]
    async fn waits_until_something_is_found() {
        let replica = replica();
        let waiting = tokio::spawn({
            let replica = replica.clone();
            async move {
                replica.wait_for(|tables| tables.find("Bridge", "b").map(|(uuid, _)| uuid)).await
            }
        });
        replica.update(updates([(A, Some("a"))]));
        replica.update(updates([(B, Some("b"))]));
        assert_eq!(waiting.await.unwrap(), B);
    }
}

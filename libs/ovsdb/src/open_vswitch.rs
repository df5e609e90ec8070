//! Waiting for `ovs-vswitchd`, which carries out what the database `Open_vSwitch` says.

use std::time::Duration;

use crate::{Client, Error, Mutation, Mutator, Operation, Outcome, Tables};

/// The table with the one row that stands for the switch; `next_cfg` and `cur_cfg` must be among
/// the monitored columns.
const ROOT: &str = "Open_vSwitch";

impl Client {
    /// Carries out all operations or none, and waits until `ovs-vswitchd` has done what they say:
    /// the transaction adds one to `next_cfg`, and `ovs-vswitchd` sets `cur_cfg` to what `next_cfg`
    /// was when it read the configuration. Calls at the same time do not wait for each other.
    ///
    /// # Errors
    /// Those of [`Client::transact`], and [`Error::NotCarriedOut`] after `patience`.
    pub async fn transact_and_settle(
        &self,
        operations: &[Operation],
        patience: Duration,
    ) -> Result<Vec<Outcome>, Error> {
        let mut operations = operations.to_vec();
        operations.push(Operation::mutate(ROOT, [], [Mutation::new("next_cfg", Mutator::Add, 1)]));
        operations.push(Operation::select(ROOT, [], ["next_cfg"]));
        let mut outcomes = self.transact(&operations).await?;
        let root = outcomes.pop();
        outcomes.pop();
        let wanted = match &root {
            Some(Outcome::Rows(rows)) => rows.first().and_then(|row| row.integer("next_cfg")),
            _ => None,
        };
        let wanted =
            wanted.ok_or_else(|| Error::Protocol("the database is not initialised".to_owned()))?;
        self.settled_at(wanted, patience).await?;
        Ok(outcomes)
    }

    /// Waits until `ovs-vswitchd` has done all that the replica says, whoever wrote it.
    ///
    /// # Errors
    /// [`Error::NotCarriedOut`] after `patience`.
    pub async fn settle(&self, patience: Duration) -> Result<(), Error> {
        match self.replica().read(|tables| root_integer(tables, "next_cfg")) {
            Some(wanted) => self.settled_at(wanted, patience).await,
            None => Ok(()),
        }
    }

    async fn settled_at(&self, wanted: i64, patience: Duration) -> Result<(), Error> {
        let settled = self.replica().wait_for(|tables| {
            root_integer(tables, "cur_cfg").is_some_and(|current| current >= wanted).then_some(())
        });
        tokio::time::timeout(patience, settled).await.map_err(|_| Error::NotCarriedOut)
    }
}

fn root_integer(tables: &Tables, column: &str) -> Option<i64> {
    tables.rows(ROOT).next().and_then(|(_, row)| row.integer(column))
}

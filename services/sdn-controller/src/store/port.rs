use std::net::IpAddr;

use ipnet::IpNet;
use l2sces_model::{DatapathId, MacAddress, Name};
use l2sces_trace::TraceContext;
use sqlx::{FromRow, PgConnection, Row, postgres::PgRow};

use super::{
    Admission, Store, StoreError, Stored, admit,
    block::{self, BlockNeed},
    network::{self, Lock},
    node::datapath_id,
    row::{number, origin, parsed, parsed_if_any, traceparent, unreadable},
};
use crate::domain::{
    AddressError, Attachment, Network, Port, PortKey, PortSpec, Version, check_address,
};

/// How often a port is stored anew because somebody else was faster, before the caller is asked to
/// come again.
const ATTEMPTS: u32 = 16;

/// Ports with what their networks and nodes add to them.
macro_rules! select_ports {
    ($filter:literal) => {
        concat!(
            "SELECT port.*, network.vni, network.mtu, network.cidr,
                    node.datapath_id, node.agent_endpoint, node.forced AS node_forced
             FROM port
             JOIN network ON network.slice = port.slice AND network.name = port.network
             JOIN node ON node.name = port.node ",
            $filter
        )
    };
}

impl FromRow<'_, PgRow> for Port {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        let interface_name = parsed(row, "interface_name")?;
        let attachment = match row.try_get("namespace_path")? {
            Some(path) => Attachment::Namespace {
                path,
                interface_name: parsed(row, "namespace_interface")?,
                id: row.try_get("attachment_id")?,
            },
            None => Attachment::Interface { name: parsed(row, "interface_name")? },
        };
        Ok(Self {
            key: PortKey {
                slice: parsed(row, "slice")?,
                network: parsed(row, "network")?,
                name: parsed(row, "name")?,
            },
            version: Version::from_row(row)?,
            node: parsed(row, "node")?,
            attachment,
            interface_name,
            mac: parsed(row, "mac")?,
            address: address(row)?,
            chose_prefix: chosen_prefix(row)?.is_some(),
            alias: parsed_if_any(row, "alias")?,
            max_learned: number(row, "max_learned")?,
            deleting: row.try_get("deleting")?,
            introduced: row.try_get("introduced")?,
            origin: origin(row)?,
            vni: network::vni(row)?,
            mtu: number(row, "mtu")?,
            datapath_id: datapath_id(row)?,
            agent_endpoint: row.try_get("agent_endpoint")?,
            node_forced: row.try_get("node_forced")?,
        })
    }
}

/// The address with the prefix length of the network, or that of its own.
fn address(row: &PgRow) -> sqlx::Result<Option<IpNet>> {
    let address: Option<IpAddr> = row.try_get("address")?;
    let cidr: Option<IpNet> = row.try_get("cidr")?;
    with_prefix(address, cidr, chosen_prefix(row)?)
}

fn chosen_prefix(row: &PgRow) -> sqlx::Result<Option<u8>> {
    let prefix_len: Option<i16> = row.try_get("prefix_len")?;
    prefix_len.map(u8::try_from).transpose().map_err(|error| unreadable("prefix_len", error))
}

fn with_prefix(
    address: Option<IpAddr>,
    cidr: Option<IpNet>,
    chosen: Option<u8>,
) -> sqlx::Result<Option<IpNet>> {
    let prefix_len = cidr.map(|cidr| cidr.prefix_len()).or(chosen);
    let (Some(address), Some(prefix_len)) = (address, prefix_len) else { return Ok(None) };
    IpNet::new(address, prefix_len).map(Some).map_err(|error| unreadable("address", error))
}

/// Which ports are meant.
#[derive(Clone, Debug, Default)]
pub(crate) struct PortFilter {
    /// Of this node only.
    pub(crate) node: Option<Name>,
    /// With this attachment id only.
    pub(crate) attachment_id: Option<String>,
}

/// On which condition a port is removed.
#[derive(Clone, Debug, Default)]
pub(crate) struct PortCondition {
    /// It has this attachment id.
    pub(crate) attachment_id: Option<String>,
    /// The generation of its version is at most this.
    pub(crate) generation: Option<i64>,
}

/// A port as it is now stored.
#[derive(Debug, PartialEq)]
pub(crate) struct PortStored {
    pub(crate) port: Port,
    /// The node on whose switch it had another interface before.
    pub(crate) former_node: Option<Name>,
}

/// What became of a port that was applied.
#[derive(Debug, PartialEq)]
pub(crate) enum PortApplied {
    Stored(Box<PortStored>),
    /// Nothing is stored: the cluster needs another block of the network first.
    NeedsBlock(BlockNeed),
}

impl Store {
    /// Stores a port, and gives it the addresses that were not given.
    ///
    /// # Errors
    /// Its network or node is unknown, an address or interface is another port's, it is being
    /// deleted, or the database fails.
    pub(crate) async fn apply_port(&self, spec: &PortSpec) -> Result<PortApplied, StoreError> {
        for attempt in 0..ATTEMPTS {
            match self.try_apply_port(spec, attempt).await {
                Err(StoreError::Database(error)) => match StoreError::broken_constraint(&error) {
                    Some("port_mac") => match spec.mac {
                        Some(mac) => return Err(StoreError::MacTaken(mac)),
                        None => continue,
                    },
                    Some("port_address") => match spec.address {
                        Some(address) => return Err(StoreError::AddressTaken(address)),
                        None => continue,
                    },
                    Some("port_interface") => {
                        return Err(StoreError::InterfaceTaken {
                            node: spec.node.clone(),
                            interface: spec.interface_name(),
                        });
                    }
                    _ => return Err(error.into()),
                },
                outcome => return outcome,
            }
        }
        Err(StoreError::Contended(spec.key.network_key()))
    }

    async fn try_apply_port(
        &self,
        spec: &PortSpec,
        attempt: u32,
    ) -> Result<PortApplied, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let network_key = spec.key.network_key();
        let unknown = || StoreError::UnknownNetwork(network_key.clone());
        let network = network::find(&mut transaction, &network_key, Lock::Keep).await?;
        let mut network = network.ok_or_else(unknown)?;
        if network.spec.cidr.is_some() {
            // It gets an address.
            let locked = network::find(&mut transaction, &network_key, Lock::Choose).await?;
            network = locked.ok_or_else(unknown)?;
        }
        let existing = find(&mut transaction, &spec.key).await?;
        let stored = existing
            .as_ref()
            .map(|port| Stored { version: port.version.clone(), deleting: port.deleting });
        if let (Admission::Keep, Some(port)) =
            (admit(stored.as_ref(), &spec.version, "port", &spec.key)?, existing.clone())
        {
            return Ok(PortApplied::Stored(Box::new(PortStored { port, former_node: None })));
        }
        if network.deleting {
            return Err(unknown());
        }
        let place = lock_place(&mut transaction, spec).await?;
        let address =
            match self.choose_address(&mut transaction, &network, existing.as_ref(), spec).await? {
                Choice::None => None,
                Choice::Address(address) => Some(address),
                Choice::NeedsBlock(need) => return Ok(PortApplied::NeedsBlock(need)),
            };
        let mac = spec
            .mac
            .or_else(|| existing.as_ref().map(|port| port.mac))
            .unwrap_or_else(|| chosen_mac(&self.cluster, &spec.key, attempt));
        let chosen_prefix = chosen_prefix_of(spec, &network);
        write(&mut transaction, spec, mac, address, chosen_prefix).await?;
        transaction.commit().await?;
        let port = placed(spec, mac, address, &network, place)?;
        let former_node = existing
            .filter(|former| {
                former.node != port.node || former.interface_name != port.interface_name
            })
            .map(|former| former.node);
        Ok(PortApplied::Stored(Box::new(PortStored { port, former_node })))
    }

    async fn choose_address(
        &self,
        connection: &mut PgConnection,
        network: &Network,
        existing: Option<&Port>,
        spec: &PortSpec,
    ) -> Result<Choice, StoreError> {
        let current = existing.and_then(|port| port.address).map(|address| address.addr());
        let key = &network.spec.key;
        let Some(cidr) = network.spec.cidr else {
            return match (spec.address, spec.prefix_len) {
                (None, _) => Ok(Choice::None),
                (Some(address), Some(_)) => Ok(Choice::Address(address)),
                (Some(address), None) => {
                    Err(StoreError::BadAddress { address, error: AddressError::NoCidr })
                }
            };
        };
        if let Some(address) = spec.address {
            check_address(&cidr, address)
                .map_err(|error| StoreError::BadAddress { address, error })?;
            if current == Some(address) {
                return Ok(Choice::Address(address));
            }
            let need = block::need(connection, key, cidr).await?;
            return if need.known.iter().any(|block| block.contains(&address)) {
                Ok(Choice::Address(address))
            } else {
                Ok(Choice::NeedsBlock(need))
            };
        }
        if let Some(address) = current {
            return Ok(Choice::Address(address));
        }
        match block::lowest_free(connection, key, &cidr, &self.wishes.of(key, &cidr)).await? {
            Some(address) => Ok(Choice::Address(address)),
            None => Ok(Choice::NeedsBlock(block::need(connection, key, cidr).await?)),
        }
    }

    /// A port, if there is one.
    pub(crate) async fn port(&self, key: &PortKey) -> Result<Option<Port>, StoreError> {
        Ok(sqlx::query_as(select_ports!(
            "WHERE port.slice = $1 AND port.network = $2 AND port.name = $3"
        ))
        .bind(key.slice.as_str())
        .bind(key.network.as_str())
        .bind(key.name.as_str())
        .fetch_optional(&self.pool)
        .await?)
    }

    /// All ports, by name.
    pub(crate) async fn ports(&self) -> Result<Vec<Port>, StoreError> {
        Ok(sqlx::query_as(select_ports!("ORDER BY port.slice, port.network, port.name"))
            .fetch_all(&self.pool)
            .await?)
    }

    /// The ports that are meant, by name.
    pub(crate) async fn ports_where(&self, filter: &PortFilter) -> Result<Vec<Port>, StoreError> {
        Ok(sqlx::query_as(select_ports!(
            "WHERE ($1::text IS NULL OR port.node = $1)
               AND ($2::text IS NULL OR port.attachment_id = $2 AND port.attachment_id <> '')
             ORDER BY port.slice, port.network, port.name"
        ))
        .bind(filter.node.as_ref().map(Name::as_str))
        .bind(&filter.attachment_id)
        .fetch_all(&self.pool)
        .await?)
    }

    /// The ports of a node.
    pub(crate) async fn ports_on(&self, node: &Name) -> Result<Vec<Port>, StoreError> {
        Ok(sqlx::query_as(select_ports!("WHERE port.node = $1"))
            .bind(node.as_str())
            .fetch_all(&self.pool)
            .await?)
    }

    /// Notes that a port of this version has told its network where its address is.
    pub(crate) async fn note_introduced(
        &self,
        key: &PortKey,
        version: &Version,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE port SET introduced = true
             WHERE slice = $1 AND network = $2 AND name = $3 AND uid = $4 AND generation = $5",
        )
        .bind(key.slice.as_str())
        .bind(key.network.as_str())
        .bind(key.name.as_str())
        .bind(&version.uid)
        .bind(version.generation)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Marks a port for deletion, if it meets the condition; answers with it, or none if there is none.
    pub(crate) async fn mark_port(
        &self,
        key: &PortKey,
        condition: &PortCondition,
    ) -> Result<Option<Port>, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let marked = sqlx::query(
            "UPDATE port SET deleting = true,
                traceparent = CASE WHEN deleting THEN traceparent ELSE $4 END
             WHERE slice = $1 AND network = $2 AND name = $3
               AND ($5::text IS NULL OR attachment_id = $5)
               AND ($6::bigint IS NULL OR generation <= $6)",
        )
        .bind(key.slice.as_str())
        .bind(key.network.as_str())
        .bind(key.name.as_str())
        .bind(traceparent())
        .bind(&condition.attachment_id)
        .bind(condition.generation)
        .execute(&mut *transaction)
        .await?;
        if marked.rows_affected() == 0 {
            return Ok(None);
        }
        let port = find(&mut transaction, key).await?;
        transaction.commit().await?;
        Ok(port)
    }

    /// Marks the ports of a node for deletion; answers with those that are still there.
    pub(crate) async fn mark_ports_on(&self, node: &Name) -> Result<Vec<Port>, StoreError> {
        sqlx::query(
            "UPDATE port SET deleting = true, traceparent = $2 WHERE node = $1 AND NOT deleting",
        )
        .bind(node.as_str())
        .bind(traceparent())
        .execute(&self.pool)
        .await?;
        self.ports_on(node).await
    }

    /// Forgets a port whose deletion is complete, and with it the block that its address makes up
    /// alone: as long as the port has the address, no other can take it for leased.
    pub(crate) async fn remove_port(&self, key: &PortKey) -> Result<(), StoreError> {
        let mut transaction = self.pool.begin().await?;
        network::find(&mut transaction, &key.network_key(), Lock::Choose).await?;
        block::forget_single(&mut transaction, key).await?;
        sqlx::query(
            "DELETE FROM port WHERE slice = $1 AND network = $2 AND name = $3 AND deleting",
        )
        .bind(key.slice.as_str())
        .bind(key.network.as_str())
        .bind(key.name.as_str())
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }
}

/// The MAC address of a port that was given none. Port names are unique in a network only within a
/// cluster, so the cluster is part of what it is derived from.
fn chosen_mac(cluster: &Name, key: &PortKey, attempt: u32) -> MacAddress {
    let name = format!("{cluster}/{}", key.name);
    MacAddress::for_port(key.slice.as_str(), key.network.as_str(), &name, attempt)
}

async fn find(connection: &mut PgConnection, key: &PortKey) -> Result<Option<Port>, sqlx::Error> {
    sqlx::query_as(select_ports!(
        "WHERE port.slice = $1 AND port.network = $2 AND port.name = $3 FOR UPDATE OF port"
    ))
    .bind(key.slice.as_str())
    .bind(key.network.as_str())
    .bind(key.name.as_str())
    .fetch_optional(connection)
    .await
}

/// What a node adds to its ports.
struct Place {
    datapath_id: DatapathId,
    agent_endpoint: String,
}

/// Makes sure that the port's node exists and is in the port's slice, and both until the
/// transaction ends.
async fn lock_place(connection: &mut PgConnection, spec: &PortSpec) -> Result<Place, StoreError> {
    let locked = sqlx::query(
        "SELECT node.datapath_id, node.agent_endpoint
         FROM node JOIN slice_node ON slice_node.node = node.name
         WHERE node.name = $1 AND NOT node.deleting AND slice_node.slice = $2
         FOR KEY SHARE",
    )
    .bind(spec.node.as_str())
    .bind(spec.key.slice.as_str())
    .fetch_optional(&mut *connection)
    .await?;
    if let Some(row) = locked {
        let (datapath_id, agent_endpoint) = (datapath_id(&row)?, row.try_get("agent_endpoint")?);
        return Ok(Place { datapath_id, agent_endpoint });
    }
    let exists: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM node WHERE name = $1 AND NOT deleting)")
            .bind(spec.node.as_str())
            .fetch_one(connection)
            .await?;
    let node = spec.node.clone();
    if exists {
        Err(StoreError::NodeNotInSlice { node, slice: spec.key.slice.clone() })
    } else {
        Err(StoreError::UnknownNode(node))
    }
}

/// The prefix length that a port has chosen, which it can where the network has none.
fn chosen_prefix_of(spec: &PortSpec, network: &Network) -> Option<u8> {
    spec.prefix_len.filter(|_| spec.address.is_some() && network.spec.cidr.is_none())
}

/// A port as it has just been stored.
fn placed(
    spec: &PortSpec,
    mac: MacAddress,
    address: Option<IpAddr>,
    network: &Network,
    place: Place,
) -> Result<Port, sqlx::Error> {
    let chosen_prefix = chosen_prefix_of(spec, network);
    let address = with_prefix(address, network.spec.cidr, chosen_prefix)?;
    Ok(Port {
        key: spec.key.clone(),
        version: spec.version.clone(),
        node: spec.node.clone(),
        attachment: spec.attachment.clone(),
        interface_name: spec.interface_name(),
        mac,
        address,
        chose_prefix: chosen_prefix.is_some(),
        alias: spec.alias.clone(),
        max_learned: spec.max_learned,
        deleting: false,
        introduced: false,
        origin: TraceContext::current(),
        vni: network.spec.vni,
        mtu: network.spec.mtu,
        datapath_id: place.datapath_id,
        agent_endpoint: place.agent_endpoint,
        node_forced: false,
    })
}

enum Choice {
    /// The network has no addresses.
    None,
    Address(IpAddr),
    NeedsBlock(BlockNeed),
}

async fn write(
    connection: &mut PgConnection,
    spec: &PortSpec,
    mac: MacAddress,
    address: Option<IpAddr>,
    chosen_prefix: Option<u8>,
) -> Result<(), sqlx::Error> {
    let (namespace_path, namespace_interface, attachment_id) = match &spec.attachment {
        Attachment::Namespace { path, interface_name, id } => {
            (Some(path.as_str()), Some(interface_name.as_str()), id.as_str())
        }
        Attachment::Interface { .. } => (None, None, ""),
    };
    sqlx::query(
        "INSERT INTO port (slice, network, name, uid, generation, node, namespace_path,
                           namespace_interface, interface_name, mac, address, max_learned,
                           traceparent, attachment_id, alias, prefix_len)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
         ON CONFLICT (slice, network, name) DO UPDATE SET
            uid = excluded.uid, generation = excluded.generation, node = excluded.node,
            namespace_path = excluded.namespace_path,
            namespace_interface = excluded.namespace_interface,
            interface_name = excluded.interface_name, mac = excluded.mac,
            address = excluded.address, max_learned = excluded.max_learned,
            introduced = false, traceparent = excluded.traceparent,
            attachment_id = excluded.attachment_id, alias = excluded.alias,
            prefix_len = excluded.prefix_len",
    )
    .bind(spec.key.slice.as_str())
    .bind(spec.key.network.as_str())
    .bind(spec.key.name.as_str())
    .bind(&spec.version.uid)
    .bind(spec.version.generation)
    .bind(spec.node.as_str())
    .bind(namespace_path)
    .bind(namespace_interface)
    .bind(spec.interface_name().as_str())
    .bind(mac.to_string())
    .bind(address)
    .bind(i32::from(spec.max_learned))
    .bind(traceparent())
    .bind(attachment_id)
    .bind(spec.alias.as_ref().map(Name::as_str))
    .bind(chosen_prefix.map(i16::from))
    .execute(connection)
    .await?;
    Ok(())
}

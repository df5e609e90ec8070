//! From each kind's subcommands to what is the same for all kinds.

use l2sces_proto::{
    resource::v1::Metadata,
    slice::v1::{Cluster, Network, Port, Slice},
};

use super::{read, write};
use crate::{
    args::{NetworkCommand, PortCommand, RegisteredClusterCommand, SliceCommand},
    error::CliError,
    resource::{Key, Scope},
    session::Session,
};

pub(super) async fn cluster(
    session: &mut Session,
    command: RegisteredClusterCommand,
) -> Result<(), CliError> {
    let key = |name| Key { name, ..Key::default() };
    let all = Scope::default();
    match command {
        RegisteredClusterCommand::Create { name, flags, write } => {
            let mut cluster = Cluster { metadata: named(name), ..Cluster::default() };
            flags.change(&mut cluster);
            write::create(session, cluster, &write).await
        }
        RegisteredClusterCommand::Get { name } => read::get::<Cluster>(session, &key(name)).await,
        RegisteredClusterCommand::List => read::list::<Cluster>(session, &all).await,
        RegisteredClusterCommand::Update { name, flags, force, update } => {
            write::update(session, &key(name), |cluster| flags.change(cluster), force, update).await
        }
        RegisteredClusterCommand::Delete { name, force, delete } => {
            write::delete::<Cluster>(session, &key(name), force, delete).await
        }
        RegisteredClusterCommand::Watch { name } => {
            read::watch::<Cluster>(session, &all, name).await
        }
    }
}

pub(super) async fn slice(session: &mut Session, command: SliceCommand) -> Result<(), CliError> {
    let key = |name| Key { name, ..Key::default() };
    let all = Scope::default();
    match command {
        SliceCommand::Create { name, flags, write } => {
            let mut slice = Slice { metadata: named(name), ..Slice::default() };
            flags.change(&mut slice);
            write::create(session, slice, &write).await
        }
        SliceCommand::Get { name } => read::get::<Slice>(session, &key(name)).await,
        SliceCommand::List => read::list::<Slice>(session, &all).await,
        SliceCommand::Update { name, flags, force, update } => {
            write::update(session, &key(name), |slice| flags.change(slice), force, update).await
        }
        SliceCommand::Delete { name, force, delete } => {
            write::delete::<Slice>(session, &key(name), force, delete).await
        }
        SliceCommand::Watch { name } => read::watch::<Slice>(session, &all, name).await,
    }
}

pub(super) async fn network(
    session: &mut Session,
    command: NetworkCommand,
) -> Result<(), CliError> {
    let scope =
        |slice: Option<String>| Scope { slice: slice.unwrap_or_default(), ..Scope::default() };
    match command {
        NetworkCommand::Create { name, flags, write } => {
            let mut network =
                Network { metadata: named(name.name), slice: name.slice, ..Network::default() };
            flags.change(&mut network);
            write::create(session, network, &write).await
        }
        NetworkCommand::Get { name } => read::get::<Network>(session, &name.into()).await,
        NetworkCommand::List { slice } => read::list::<Network>(session, &scope(slice)).await,
        NetworkCommand::Update { name, flags, force, update } => {
            write::update(session, &name.into(), |network| flags.change(network), force, update)
                .await
        }
        NetworkCommand::Delete { name, force, delete } => {
            write::delete::<Network>(session, &name.into(), force, delete).await
        }
        NetworkCommand::Watch { name, slice } => {
            read::watch::<Network>(session, &scope(slice), name).await
        }
    }
}

pub(super) async fn port(session: &mut Session, command: PortCommand) -> Result<(), CliError> {
    match command {
        PortCommand::Attach { name, flags, write } => {
            let port = Port {
                metadata: named(name.name),
                slice: name.slice,
                network: name.network,
                spec: Some(flags.spec()),
                status: None,
            };
            write::create(session, port, &write).await
        }
        PortCommand::Detach { name, delete } => {
            write::delete::<Port>(session, &name.into(), false, delete).await
        }
        PortCommand::Get { name } => read::get::<Port>(session, &name.into()).await,
        PortCommand::List { scope } => read::list::<Port>(session, &scope.into()).await,
        PortCommand::Watch { name, scope } => {
            read::watch::<Port>(session, &scope.into(), name).await
        }
    }
}

fn named(name: String) -> Option<Metadata> {
    Some(Metadata { name, ..Metadata::default() })
}

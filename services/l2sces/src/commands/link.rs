use l2sces_proto::slice::v1::ListLinksRequest;

use crate::{
    args::LinkCommand,
    error::CliError,
    session::{Session, call},
};

/// Shows links.
pub(super) async fn run(session: &mut Session, command: LinkCommand) -> Result<(), CliError> {
    let LinkCommand::List { slice } = command;
    let listed = call(async || {
        let request = ListLinksRequest { slice: slice.clone() };
        session.api.slices.clone().list_links(request).await
    });
    let listed = listed.await.map_err(|status| session.failed(status))?.into_inner();
    session.output.links(listed.links)?;
    if listed.unreachable.is_empty() {
        return Ok(());
    }
    Err(CliError::Failed(format!("links may be missing: {}", listed.unreachable.join("; "))))
}

use l2sces_proto::slice::v1 as api;
use tonic::Code;

use super::{Case, case, check};
use crate::{manager::Manager, samples};

fn attach(spoil: fn(&mut api::Port, &mut api::PortSpec)) -> api::AttachPortRequest {
    let mut port = samples::port("s", "n", "q", "a", "n1");
    let mut spec = port.spec.take().unwrap();
    spoil(&mut port, &mut spec);
    port.spec = Some(spec);
    api::AttachPortRequest { port: Some(port), ..Default::default() }
}

#[tokio::test]
async fn ports() {
    check(vec![
        case!(
            "nothing",
            networks.attach_port(api::AttachPortRequest::default()),
            InvalidArgument,
            ["port"]
        ),
        case!(
            "empty",
            networks.attach_port(api::AttachPortRequest {
                port: Some(api::Port::default()),
                ..Default::default()
            }),
            InvalidArgument,
            ["port.metadata.name", "port.slice", "port.network", "port.spec"]
        ),
        case!(
            "unknown slice",
            networks.attach_port(attach(|port, _| {
                port.slice = "x".to_owned();
            })),
            NotFound,
            []
        ),
        case!(
            "unknown network",
            networks.attach_port(attach(|port, _| {
                port.network = "x".to_owned();
            })),
            NotFound,
            []
        ),
        case!(
            "unknown cluster",
            networks.attach_port(attach(|_, spec| {
                spec.cluster = "x".to_owned();
            })),
            InvalidArgument,
            ["port.spec.cluster"]
        ),
        case!(
            "unknown node",
            networks.attach_port(attach(|_, spec| {
                spec.node = "n9".to_owned();
            })),
            InvalidArgument,
            ["port.spec.node"]
        ),
        case!(
            "no attachment",
            networks.attach_port(attach(|_, spec| {
                spec.attachment = None;
            })),
            InvalidArgument,
            ["port.spec.attachment"]
        ),
        case!(
            "group address and no IP address",
            networks.attach_port(attach(|_, spec| {
                spec.mac = "ff:ff:ff:ff:ff:ff".to_owned();
                spec.address = "x".to_owned();
            })),
            InvalidArgument,
            ["port.spec.mac", "port.spec.address"]
        ),
        case!(
            "outside",
            networks.attach_port(attach(|_, spec| {
                spec.address = "10.2.0.1".to_owned();
            })),
            InvalidArgument,
            ["port.spec.address"]
        ),
        case!(
            "broadcast",
            networks.attach_port(attach(|_, spec| {
                spec.address = "10.1.0.255".to_owned();
            })),
            InvalidArgument,
            ["port.spec.address"]
        ),
        case!(
            "name in use",
            networks.attach_port(attach(|port, spec| {
                port.metadata = samples::named("p");
                spec.attachment = samples::port("s", "n", "z", "a", "n1").spec.unwrap().attachment;
            })),
            AlreadyExists,
            []
        ),
        case!(
            "namespace in use",
            networks.attach_port(attach(|_, spec| {
                spec.attachment = samples::port("s", "n", "p", "a", "n1").spec.unwrap().attachment;
            })),
            AlreadyExists,
            ["port.spec.namespace.interface_name"]
        ),
        case!(
            "no DNS labels",
            networks.get_port(api::GetPortRequest::default()),
            InvalidArgument,
            ["slice", "network", "name"]
        ),
        case!(
            "unknown",
            networks.get_port(api::GetPortRequest {
                slice: "s".to_owned(),
                network: "n".to_owned(),
                name: "x".to_owned()
            }),
            NotFound,
            []
        ),
        case!(
            "a network without a slice",
            networks.list_ports(api::ListPortsRequest {
                network: "n".to_owned(),
                ..Default::default()
            }),
            InvalidArgument,
            ["slice"]
        ),
        case!(
            "unknown network",
            networks.list_ports(api::ListPortsRequest {
                slice: "s".to_owned(),
                network: "x".to_owned(),
                ..Default::default()
            }),
            NotFound,
            []
        ),
        case!(
            "unknown",
            networks.detach_port(api::DetachPortRequest {
                slice: "s".to_owned(),
                network: "n".to_owned(),
                name: "x".to_owned(),
                ..Default::default()
            }),
            NotFound,
            []
        ),
        case!(
            "old etag",
            networks.detach_port(api::DetachPortRequest {
                slice: "s".to_owned(),
                network: "n".to_owned(),
                name: "p".to_owned(),
                etag: "old".to_owned(),
                ..Default::default()
            }),
            Aborted,
            []
        ),
        case!(
            "a network without a slice",
            networks.watch_ports(api::WatchPortsRequest {
                network: "n".to_owned(),
                ..Default::default()
            }),
            InvalidArgument,
            ["slice"]
        ),
    ])
    .await;
}

//! Bad input to every RPC: the status, the fields, and that nothing changed.

mod clusters;
mod networks;
mod ports;
mod slices;

use std::{future::Future, pin::Pin};

use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::{manager::Manager, world::World};

type Call = Box<dyn FnOnce(&Manager) -> Pin<Box<dyn Future<Output = Result<(), Status>> + Send>>>;

/// A request, what is wrong with it, and how it is refused.
struct Case {
    what: &'static str,
    call: Call,
    code: Code,
    fields: &'static [&'static str],
}

macro_rules! case {
    ($what:literal, $service:ident.$method:ident($request:expr), $code:ident, $fields:expr) => {{
        let request = $request;
        Case {
            what: concat!(stringify!($method), ": ", $what),
            call: Box::new(move |manager: &Manager| {
                let mut client = manager.$service.clone();
                Box::pin(async move { client.$method(request).await.map(drop) })
            }),
            code: Code::$code,
            fields: &$fields,
        }
    }};
}

use case;

async fn check(cases: Vec<Case>) {
    let world = World::with_port().await;
    let before = world.desired().await;
    for case in cases {
        let status = (case.call)(&world.manager).await.expect_err(case.what);
        assert_eq!(status.code(), case.code, "{}: {status}", case.what);
        let violations =
            status.get_details_bad_request().map(|bad| bad.field_violations).unwrap_or_default();
        let fields: Vec<_> = violations.iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(fields, case.fields, "{}: {status}", case.what);
        assert_eq!(world.desired().await, before, "{}", case.what);
    }
}

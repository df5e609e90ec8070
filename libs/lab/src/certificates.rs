//! The lab's certificates: one authority, one certificate for every service and an administrator.

use std::net::Ipv4Addr;

use l2sces_pki::{Authority, Credentials, Identity, PkiError, Role};

use crate::{error::LabError, kubernetes::layout::CONTROL_CLUSTER, layout::Layout, unit::Unit};

/// Makes authority and certificates in the lab's state directory.
pub(crate) fn issue_all(layout: &Layout) -> Result<(), LabError> {
    let directory = layout.directory.join("pki");
    let issue = || -> Result<(), PkiError> {
        let authority = Authority::create()?;
        authority.save(&directory)?;
        for (unit, role, name, address) in holders(layout) {
            let identity = Identity::new(role, &name)?;
            authority
                .issue(&identity, &[address.to_string()])?
                .save(&directory, &unit.to_string())?;
        }
        let admin = Identity::new(Role::Admin, "lab")?;
        authority.issue(&admin, &[])?.save(&directory, "admin")
    };
    issue().map_err(|error| LabError::Certificates(error.to_string()))
}

/// Every service with its role, its name in that role, and the address that it is reached by.
fn holders(layout: &Layout) -> Vec<(Unit, Role, String, Ipv4Addr)> {
    let control = layout.control.address;
    let mut holders = vec![
        (Unit::SliceManager, Role::SliceManager, "slice-manager".to_owned(), control),
        (Unit::ScoProvider, Role::ScoProvider, "sco-provider".to_owned(), control),
        (Unit::InterDomainDns, Role::InterDomainDns, "inter-domain-dns".to_owned(), control),
    ];
    if layout.service(&Unit::SliceOperator).is_ok() {
        let name = CONTROL_CLUSTER.to_owned();
        holders.push((Unit::SliceOperator, Role::SliceOperator, name, control));
    }
    for cluster in &layout.clusters {
        holders.push((
            cluster.controller.unit.clone(),
            Role::SdnController,
            cluster.name.clone(),
            cluster.controller_address,
        ));
        if let Some(operator) = &cluster.operator {
            let address = cluster.controller_address;
            holders.push((operator.unit.clone(), Role::Operator, cluster.name.clone(), address));
        }
        for node in &cluster.nodes {
            let address = node.management_address;
            holders.push((node.sps_agent.unit.clone(), Role::SpsAgent, node.name.clone(), address));
            if let Some(gateway) = &node.gateway {
                let unit = gateway.ned_agent.unit.clone();
                holders.push((unit, Role::NedAgent, node.name.clone(), address));
            }
        }
    }
    holders
}

/// Reads the administrator's credentials.
pub(crate) fn admin(layout: &Layout) -> Result<Credentials, LabError> {
    Credentials::load(&layout.admin.paths())
        .map_err(|error| LabError::Certificates(error.to_string()))
}

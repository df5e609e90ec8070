#!/bin/sh
# Runs the switch of a node on the userspace datapath, and does what a host's network configuration
# does: each argument BRIDGE=ADDRESS/LENGTH moves an address of the host to a bridge, along with the
# interface that has it, because the userspace datapath sends tunnels through its own bridges only.
set -eu

vsctl() {
    ovs-vsctl --db=unix:/run/openvswitch/db.sock --retry "$@"
}

# Bridges lose their addresses with ovs-vswitchd; their interface is found by its address the first
# time, and in the database afterwards.
configure() {
    bridge=$1
    address=${2%/*}
    interface=$(ip -oneline -4 address show to "$address" | awk -v bridge="$bridge" '$2 != bridge { print $2 }')
    if [ -z "$interface" ]; then
        interface=$(vsctl list-ports "$bridge")
    fi
    # A MAC address of its own: with that of the interface, the kernel would answer there as well.
    mac=$(printf '0a:70:%02x:%02x:%02x:%02x' $(echo "$address" | tr . ' '))
    vsctl --may-exist add-br "$bridge" \
        -- set bridge "$bridge" datapath_type=netdev "other_config:hwaddr=\"$mac\"" \
        -- --may-exist add-port "$bridge" "$interface"
    ip address flush dev "$interface"
    ip link set "$interface" up
    ip address replace "$2" dev "$bridge"
    ip link set "$bridge" up
}

vsctl --no-wait init
vsctl --no-wait set open_vswitch . "external_ids:system-id=$(hostname)"
for underlay in "$@"; do
    # Waits for ovs-vswitchd, which is started below.
    configure "${underlay%%=*}" "${underlay#*=}" &
done
exec ovs-vswitchd unix:/run/openvswitch/db.sock --unixctl=/run/openvswitch/ovs-vswitchd.ctl \
    -vconsole:info -vsyslog:off

#!/bin/sh
# Runs the switch of a node on the userspace datapath, and does what a host's network configuration
# does: each argument BRIDGE=ADDRESS/LENGTH moves an address of the host to a bridge, along with the
# interface that has it, because the userspace datapath sends tunnels through its own bridges only. Without
# a length the host keeps both and shares them with the bridge: nothing but tunnels depends on the switch.
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

# The bridge has the address too, or Open vSwitch would not look for others from it, but is not heard of:
# the host answers ARP for both. What Open vSwitch itself sends comes in by the port that it is to leave by.
# Whatever is not of a tunnel (UDP ports 7000 and 7001) is the host's.
share() {
    bridge=$1 address=$2
    interface=$(ip -oneline -4 address show to "$address" | awk -v bridge="$bridge" '$2 != bridge { print $2 }')
    vsctl --may-exist add-br "$bridge" -- set bridge "$bridge" datapath_type=netdev fail_mode=secure \
        -- --may-exist add-port "$bridge" "$interface" -- set interface "$interface" ofport_request=1
    ip address replace "$address/32" dev "$bridge"
    ip link set "$bridge" arp off up
    ovs-ofctl replace-flows "unix:/run/openvswitch/$bridge.mgmt" - <<FLOWS
priority=2,in_port=1,ip,nw_src=$address actions=in_port
priority=2,in_port=1,arp,arp_op=1,arp_spa=$address actions=in_port
priority=1,in_port=1,udp,nw_dst=$address,tp_dst=7000 actions=local
priority=1,in_port=1,udp,nw_dst=$address,tp_dst=7001 actions=local
priority=1,in_port=1,arp,arp_op=2,arp_tpa=$address actions=local
priority=1,in_port=local actions=output:1
FLOWS
}

vsctl --no-wait init
vsctl --no-wait set open_vswitch . "external_ids:system-id=$(hostname)"
for underlay in "$@"; do
    # Waits for ovs-vswitchd, which is started below.
    case $underlay in
        */*) configure "${underlay%%=*}" "${underlay#*=}" & ;;
        *) share "${underlay%%=*}" "${underlay#*=}" & ;;
    esac
done
exec ovs-vswitchd unix:/run/openvswitch/db.sock --unixctl=/run/openvswitch/ovs-vswitchd.ctl \
    -vconsole:info -vsyslog:off

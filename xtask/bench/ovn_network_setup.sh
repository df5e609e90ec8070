#!/usr/bin/env bash
# How long OVN takes to make one isolated layer-2 network live on two hosts.
#
# A round writes one logical switch with one port on each host to the northbound database and waits
# until both hosts report that their flows are installed (--wait=hv). The ports' interfaces exist
# beforehand. Each host is a network namespace with an Open vSwitch of its own (userspace datapath)
# and an ovn-controller. Background networks are as the rounds', and live before the first round.
#
# usage: ovn_network_setup.sh ROUNDS BACKGROUND_NETWORKS      (root)
# prints the duration of every round in microseconds, one a line
set -euo pipefail

rounds=$1
background=$2
hosts=(1 2)
state=$(mktemp -d /tmp/l2s-ovn.XXXXXX)
prefix=l2s-ovn-$$

finish() {
  local file name
  while read -r file; do
    kill -KILL "$(cat "$file")" 2>/dev/null || true
  done < <(find "$state" -name '*.pid')
  for name in "${hosts[@]}"; do
    ip netns delete "$prefix-$name" 2>/dev/null || true
  done
  rm -rf "$state"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Starts a daemon called $2 that keeps all its files in directory $1, with the arguments that follow.
daemon() {
  local directory=$1 name=$2
  shift 2
  OVS_RUNDIR=$directory OVN_RUNDIR=$directory "$@" --detach --no-chdir \
    --pidfile="$directory/$name.pid" --log-file="$directory/$name.log" 2>>"$state/errors" || {
    cat "$state/errors" >&2
    exit 1
  }
}

# The central part: two databases and the translator between them.
for database in nb sb; do
  ovsdb-tool create "$state/$database.db" "/usr/share/ovn/ovn-$database.ovsschema"
  daemon "$state" "$database" \
    ovsdb-server "$state/$database.db" --remote="punix:$state/$database.sock"
done
daemon "$state" northd \
  ovn-northd --ovnnb-db="unix:$state/nb.sock" --ovnsb-db="unix:$state/sb.sock"
northbound=(ovn-nbctl --db="unix:$state/nb.sock")
"${northbound[@]}" init

# Two hosts on one cable.
for host in "${hosts[@]}"; do
  ip netns add "$prefix-$host"
  ip -n "$prefix-$host" link set lo up
done
ip -n "$prefix-1" link add underlay type veth peer name underlay netns "$prefix-2"
for host in "${hosts[@]}"; do
  ip -n "$prefix-$host" address add "10.101.1.$host/24" dev underlay
  ip -n "$prefix-$host" link set underlay up
done

for host in "${hosts[@]}"; do
  directory=$state/$host
  mkdir "$directory"
  inside=(ip netns exec "$prefix-$host")
  vsctl=(ovs-vsctl --db="unix:$directory/db.sock")
  ovsdb-tool create "$directory/conf.db" /usr/share/openvswitch/vswitch.ovsschema
  daemon "$directory" ovsdb-server \
    "${inside[@]}" ovsdb-server "$directory/conf.db" --remote="punix:$directory/db.sock"
  "${vsctl[@]}" --no-wait init
  "${vsctl[@]}" --no-wait set Open_vSwitch . \
    external_ids:system-id="host$host" \
    external_ids:ovn-remote="unix:$state/sb.sock" \
    external_ids:ovn-encap-type=geneve \
    external_ids:ovn-encap-ip="10.101.1.$host" \
    external_ids:ovn-bridge-datapath-type=netdev
  daemon "$directory" ovs-vswitchd "${inside[@]}" ovs-vswitchd "unix:$directory/db.sock"
  "${vsctl[@]}" add-br br-int -- set Bridge br-int datapath_type=netdev fail_mode=secure
  daemon "$directory" ovn-controller "${inside[@]}" ovn-controller "unix:$directory/db.sock"
  interfaces=()
  for ((n = 0; n < background + rounds; n++)); do
    interfaces+=(-- add-port br-int "p$n" -- set Interface "p$n" type=internal
      external_ids:iface-id="n$n-host$host")
  done
  "${vsctl[@]}" "${interfaces[@]}"
done

# Puts into `network` the commands that make network $1.
describe_network() {
  local octets
  printf -v octets '%02x:%02x' $(($1 >> 8)) $(($1 & 255))
  network=(-- ls-add "n$1")
  for host in "${hosts[@]}"; do
    network+=(-- lsp-add "n$1" "n$1-host$host"
      -- lsp-set-addresses "n$1-host$host" "02:00:00:0$host:$octets")
  done
}

for ((n = 0; n < background; n += 50)); do
  batch=()
  for ((m = n; m < background && m < n + 50; m++)); do
    describe_network "$m"
    batch+=("${network[@]}")
  done
  "${northbound[@]}" --wait=hv "${batch[@]}"
done

for ((n = background; n < background + rounds; n++)); do
  describe_network "$n"
  start=$(date +%s%N)
  "${northbound[@]}" --wait=hv "${network[@]}"
  end=$(date +%s%N)
  echo $(((end - start) / 1000))
done

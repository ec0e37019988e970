#!/bin/sh
# What a compute host of lab 9 holds. Call it there: ./patchbay host compute1 -- sh labs/09-vxlan/observe.sh
. "$(dirname "$0")/../observe.sh"

show ovs-vsctl show
# From the tunnels and from br-int: where frames are sorted.
show ovs-ofctl dump-flows --no-stats br-tun table=0
show ovs-ofctl dump-flows --no-stats br-tun table=2
# From the tunnels: VXLAN id to local VLAN, then learning.
show ovs-ofctl dump-flows --no-stats br-tun table=4
show ovs-ofctl dump-flows --no-stats br-tun table=10
# Into the tunnels: to one peer, answers to ARP requests, to all peers.
show ovs-ofctl dump-flows --no-stats br-tun table=20
show ovs-ofctl dump-flows --no-stats br-tun table=21
show ovs-ofctl dump-flows --no-stats br-tun table=22
# The tunnel endpoints' MACs on the underlay.
show ovs-appctl tnl/neigh/show

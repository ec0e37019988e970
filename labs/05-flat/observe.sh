#!/bin/sh
# What a compute host of lab 5 holds. Call it there: ./patchbay host compute1 -- sh labs/05-flat/observe.sh
. "$(dirname "$0")/../observe.sh"

show ip -brief link
show ip netns list
show ovs-vsctl show
show ovs-ofctl dump-flows --no-stats br-phys
# From the wire and from the instances: where frames are sorted.
show ovs-ofctl dump-flows --no-stats br-int table=0
show ovs-ofctl dump-flows --no-stats br-int table=60

#!/bin/sh
# What a host of lab 8 holds. Call it there: ./patchbay host compute1 -- sh labs/08-router/observe.sh
. "$(dirname "$0")/../observe.sh"

show ip netns list
show ovs-vsctl show
for router in $(ip netns list | awk '/^qrouter-/ { print $1 }'); do
  show ip -n "$router" -brief address
  show ip -n "$router" route
  show ip netns exec "$router" nft list ruleset
done

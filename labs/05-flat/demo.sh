#!/bin/sh
# Lab 5: the network `provider` on the untagged segment, and two instances of the demo user on it.
# Call it with admin's credentials: source <(./patchbay openrc admin)
. "$(dirname "$0")/../demo-base.sh"

openstack_commands <<COMMANDS
$demo_project
network create --share --external --provider-network-type flat --provider-physical-network physnet provider
subnet create --network provider --subnet-range 172.16.0.0/12 --gateway 172.16.0.1 --allocation-pool start=172.16.0.2,end=172.16.0.10 --dhcp provider
COMMANDS

. ./demo-openrc
openstack_commands <<COMMANDS
$demo_access
server create --flavor m1.nano --image cirros --network provider --key-name demo-key --security-group default demo-instance-1
server create --flavor m1.nano --image cirros --network provider --key-name demo-key --security-group default demo-instance-2
server list
COMMANDS

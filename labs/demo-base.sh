# What every lab begins with. Its demo.sh sources this file with an admin's OS_ variables set: source <(./patchbay openrc admin).
# Writes into the current folder: demo-key and demo-key.pub (kept when they are there), and demo-openrc, the demo user's credentials.
set -eu
umask 077

[ -e demo-key ] || ssh-keygen -q -t ed25519 -N '' -C demo -f demo-key
password=$(od -An -N12 -tx1 /dev/urandom | tr -d ' \n')

cat >demo-openrc <<OPENRC
export OS_AUTH_URL='$OS_AUTH_URL'
export OS_IDENTITY_API_VERSION=3
export OS_USERNAME=demo
export OS_PASSWORD=$password
export OS_PROJECT_NAME=demo
export OS_USER_DOMAIN_NAME=Default
export OS_PROJECT_DOMAIN_NAME=Default
export OS_REGION_NAME='$OS_REGION_NAME'
OPENRC

# For an admin: a flavor, and a project with its user.
demo_project="flavor create --disk 1 --ram 128 --vcpus 1 m1.nano
project create --domain default demo
user create --domain default --project demo --password $password demo
role add --project demo --user demo member"

# For the demo user: the key for ssh, and leave for everybody to ping and ssh.
demo_access='keypair create --public-key demo-key.pub demo-key
security group rule create --ingress --protocol icmp --remote-ip 0.0.0.0/0 default
security group rule create --ingress --protocol tcp --dst-port 22 --remote-ip 0.0.0.0/0 default'

# Runs the openstack commands on stdin, one a line, in one process: the client's start takes a second, once. Its exit code says
# nothing about the single commands then, but what fails says so on stderr.
openstack_commands() {
  messages=$(mktemp)
  openstack 2>"$messages" || true
  if [ -s "$messages" ]; then
    cat "$messages" >&2
    rm "$messages"
    exit 1
  fi
  rm "$messages"
}

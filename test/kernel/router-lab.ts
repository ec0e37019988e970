/** A router between kernel bridges instead of br-int, with stations in namespaces. For use inside a simulated host. */
import { spawn } from 'node:child_process';
import type { TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { FloatingIpItem, PortForwardingItem, RouterItem, RouterPortItem } from '#hoststate/router.ts';
import { routerDeviceName } from '#model/routers.ts';
import { sh } from './dhcp-lab.ts';

export const ROUTER = '11111111-0000-4000-8000-000000000001';

export function router(more: Partial<RouterItem> = {}): RouterItem {
  return { type: 'router', router_id: ROUTER, project_id: 'p', routes: [], enable_snat: true, metadata: true, ...more };
}

/** `number` makes port id and MAC. */
export function leg(role: RouterPortItem['role'], number: number, addresses: string[], more: Partial<RouterPortItem> = {}): RouterPortItem {
  const port_id = `${String(number).padStart(8, '0')}-0000-4000-8000-000000000000`;
  return {
    type: 'router-port', router_id: ROUTER, port_id, role, device: routerDeviceName(port_id, `network:router_${role}`), mac_address: `fa:16:3e:00:01:${String(number).padStart(2, '0')}`,
    mtu: 1500, addresses, gateway_ips: role === 'gateway' ? ['172.16.0.1'] : [], onlink: [], address_scopes: { ipv4: null, ipv6: null }, advertisements: [], ...more,
  };
}

export function floating(number: number, floating_ip_address: string, fixed_ip_address: string | null): FloatingIpItem {
  return { type: 'floating-ip', router_id: ROUTER, floatingip_id: `f${number}`, floating_ip_address, fixed_ip_address };
}

export function forwarding(number: number, floating_ip_address: string, external: [number, number], internal_ip_address: string, internal_first: number, protocol = 'tcp', internal_last = internal_first + external[1] - external[0]): PortForwardingItem {
  return { type: 'port-forwarding', router_id: ROUTER, port_forwarding_id: `w${number}`, floating_ip_address, protocol, external_first: external[0], external_last: external[1], internal_ip_address, internal_first, internal_last };
}

/** A namespace with one NIC on a bridge. */
export async function station(name: string, bridge: string, addresses: string[], gateway?: string): Promise<void> {
  await sh(`ip netns add "$1"
    ip netns exec "$1" sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_ra=0
    ip link add "v$1" type veth peer name eth0 netns "$1"
    ip link set "v$1" master "$2" up; ip -n "$1" link set lo up; ip -n "$1" link set eth0 up
    for address in $3; do ip -n "$1" address add $address dev eth0; done
    [ -z "$4" ] || ip -n "$1" route add default via "$4"`, name, bridge, addresses.join(' '), gateway ?? '');
}

/** Whether one of three pings is answered. */
export async function pings(from: string, to: string): Promise<boolean> {
  return succeeds(`ip netns exec ${from} ping -c 3 -i 0.2 -W 1 ${to}`);
}

export async function succeeds(script: string): Promise<boolean> {
  return sh(script).then(() => true, () => false);
}

/** A TCP or UDP server of a station until the test ends: answers every line with `NAME saw CLIENT`. */
export async function serve(t: TestContext, name: string, port: number, kind: 'tcp' | 'udp' = 'tcp', family: 4 | 6 = 4): Promise<void> {
  const script = `
import socket, threading, sys
name, port, kind, family = sys.argv[1], int(sys.argv[2]), sys.argv[3], socket.AF_INET6 if sys.argv[4] == '6' else socket.AF_INET
s = socket.socket(family, socket.SOCK_STREAM if kind == 'tcp' else socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(('', port))
def talk(c, peer):
    try:
        while c.recv(100): c.sendall(('%s saw %s' % (name, peer[0])).encode())
    except OSError: pass
if kind == 'tcp':
    s.listen(16)
    while True:
        c, peer = s.accept()
        threading.Thread(target=talk, args=(c, peer), daemon=True).start()
while True:
    data, peer = s.recvfrom(100)
    s.sendto(('%s saw %s' % (name, peer[0])).encode(), peer)`;
  const child = spawn('ip', ['netns', 'exec', name, 'python3', '-c', script, name, String(port), kind, String(family)], { stdio: ['ignore', 'ignore', 'inherit'] });
  t.after(() => void child.kill());
  for (let i = 0; i < 100 && !(await succeeds(`ip netns exec ${name} ss -Hln${kind === 'tcp' ? 't' : 'u'} sport = ${port} | grep -q .`)); i++) await delay(20);
}

/** What the server at an address answers to one line; undefined when nothing comes within a second and a half. */
export async function ask(from: string, address: string, port: number, kind: 'tcp' | 'udp' = 'tcp', seconds = 1.5): Promise<string | undefined> {
  const script = `
import socket, sys
address, port, kind, seconds = sys.argv[1], int(sys.argv[2]), sys.argv[3], float(sys.argv[4])
family, kind, _, _, peer = socket.getaddrinfo(address, port, 0, socket.SOCK_STREAM if kind == 'tcp' else socket.SOCK_DGRAM)[0]
s = socket.socket(family, kind)
s.settimeout(seconds)
s.connect(peer)
s.send(b'hello')
print(s.recv(100).decode())`;
  return sh('ip netns exec "$1" python3 -c "$2" "$3" "$4" "$5" "$6"', from, script, address, String(port), kind, String(seconds)).then((text) => text.trim(), () => undefined);
}

/** A TCP connection that stays open until the test ends: `alive` sends a line over it and tells whether it is answered. */
export function connection(t: TestContext, from: string, address: string, port: number): { alive(): Promise<boolean> } {
  const script = `
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 3)
s.settimeout(1.5)
for line in sys.stdin:
    try:
        s.send(b'hello')
        print('alive' if s.recv(100) else 'dead', flush=True)
    except OSError: print('dead', flush=True)`;
  const child = spawn('ip', ['netns', 'exec', from, 'python3', '-c', script, address, String(port)], { stdio: ['pipe', 'pipe', 'ignore'] });
  t.after(() => void child.kill());
  child.stdout.setEncoding('utf8');
  return {
    alive: () => new Promise((resolve) => {
      child.stdout.once('data', (text: string) => resolve(text.trim() === 'alive'));
      child.once('exit', () => resolve(false));
      child.stdin.write('x\n');
    }),
  };
}

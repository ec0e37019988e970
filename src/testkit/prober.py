# The stations of a probe lab: one process that is every guest at once, the world outside, and an ear on every wire.
#
# A station is a tap in a host's network namespace and no kernel stack behind it: it answers ARP and neighbour
# solicitations for its own addresses, answers what carries a token and is meant for it, and tells everything that
# carries one. Nothing else is ever sent, so each frame that is seen has a known reason.
#
# Lines of JSON: {"open": [...]}, {"close": [...]}, {"run": {...}}; one line of answer for each.
import ctypes, fcntl, json, os, select, socket, struct, sys, time

MAGIC = b'PBtoken!'
TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454ca, 2, 0x1000
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
SOL_PACKET, PACKET_AUXDATA, PACKET_OUTGOING = 263, 8, 4
CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)
own_network = os.open('/proc/self/ns/net', os.O_RDONLY)
stations, ears = {}, {}
poll = select.epoll()
by_fd = {}


def enter(fd):
    if libc.setns(fd, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), 'setns')


class InNetwork:
    def __init__(self, pid):
        self.pid = pid

    def __enter__(self):
        fd = os.open('/proc/%d/ns/net' % self.pid, os.O_RDONLY)
        enter(fd)
        os.close(fd)

    def __exit__(self, *_):
        enter(own_network)


def write(path, text):
    if os.path.exists(path):
        with open(path, 'w') as file:
            file.write(text)


def packed(address):
    return socket.inet_pton(socket.AF_INET6 if ':' in address else socket.AF_INET, address)


def bytes_of(mac):
    return bytes.fromhex(mac.replace(':', ''))


class Station:
    """A tap: what is written enters the host's switch, what is read came out of it."""

    def __init__(self, given):
        self.place, self.device = given['place'], given['device']
        self.mac = bytes_of(given['mac'])
        self.addresses = {packed(address) for address in given['addresses']}
        self.onlink = given.get('onlink', False)
        self.neighbours = {packed(address): bytes_of(mac) for address, mac in given['neighbours'].items()}
        self.gateways = {len(packed(address)): bytes_of(mac) for address, mac in given['gateways'].items()}
        with InNetwork(given['pid']):
            self.fd = os.open('/dev/net/tun', os.O_RDWR | os.O_NONBLOCK)
            fcntl.ioctl(self.fd, TUNSETIFF, struct.pack('16sH22x', self.device.encode(), IFF_TAP | IFF_NO_PI))
            # The host's own stack reads the tap too and must stay silent.
            write('/proc/sys/net/ipv6/conf/%s/disable_ipv6' % self.device, '1')
            write('/proc/sys/net/ipv4/conf/%s/rp_filter' % self.device, '1')
            write('/proc/sys/net/ipv4/conf/%s/arp_ignore' % self.device, '8')
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            name = self.device.encode()
            flags = struct.unpack('16sh', fcntl.ioctl(s, SIOCGIFFLAGS, struct.pack('16sh', name, 0)))[1]
            fcntl.ioctl(s, SIOCSIFFLAGS, struct.pack('16sh', name, flags | IFF_UP))
            s.close()

    def knows(self, address):
        """A station in the world outside has no way to what is behind a router, only to what is on its own wire."""
        size = 3 if len(address) == 4 else 8
        return not self.onlink or any(address[:size] == own[:size] for own in self.addresses if len(own) == len(address))

    def send(self, frame):
        os.write(self.fd, frame)

    def read(self):
        return os.read(self.fd, 4096), None, None

    def close(self):
        os.close(self.fd)


class Ear:
    """A wire of the fabric, heard in both directions: `<` leaves the host, `>` goes to it."""

    def __init__(self, given):
        self.place = given['place']
        with InNetwork(given['pid']):
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            self.socket.setsockopt(socket.SOL_SOCKET, 33, 16 * 1024 * 1024)
            self.socket.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
            self.socket.bind((given['device'], 0))
        self.socket.setblocking(False)
        self.fd = self.socket.fileno()

    def read(self):
        frame, ancillary, _, address = self.socket.recvmsg(4096, 64)
        # The kernel has taken the tag out of the frame.
        vlan = None
        for _, _, data in ancillary:
            status, _, _, _, _, tci, _ = struct.unpack('IIIHHHH', data[:20])
            if status & 0x10:
                vlan = tci & 0xfff
        return frame, vlan, '>' if address[2] == PACKET_OUTGOING else '<'

    def close(self):
        self.socket.close()


def checksum(data):
    if len(data) & 1:
        data += b'\0'
    total = sum(struct.unpack('!%dH' % (len(data) // 2), data))
    while total > 0xffff:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


CRC = []
for value in range(256):
    for _ in range(8):
        value = (value >> 1) ^ (0x82f63b78 if value & 1 else 0)
    CRC.append(value)


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc = CRC[(crc ^ byte) & 0xff] ^ (crc >> 8)
    return crc ^ 0xffffffff


class Packet:
    """The innermost layers of a frame that a station or a wire saw."""

    def __init__(self, frame):
        at, self.vlan = 12, None
        kind = frame[at:at + 2]
        if kind == b'\x81\x00':
            self.vlan = struct.unpack_from('!H', frame, 14)[0] & 0xfff
            at += 4
            kind = frame[at:at + 2]
        self.l3 = at + 2
        self.kind, self.protocol = kind, None
        if kind == b'\x08\x00':
            self.protocol = frame[self.l3 + 9]
            self.source, self.destination = frame[self.l3 + 12:self.l3 + 16], frame[self.l3 + 16:self.l3 + 20]
            self.l4 = self.l3 + (frame[self.l3] & 15) * 4
            self.end = self.l3 + struct.unpack_from('!H', frame, self.l3 + 2)[0]
        elif kind == b'\x86\xdd':
            self.protocol = frame[self.l3 + 6]
            self.source, self.destination = frame[self.l3 + 8:self.l3 + 24], frame[self.l3 + 24:self.l3 + 40]
            self.l4 = self.l3 + 40
            self.end = self.l4 + struct.unpack_from('!H', frame, self.l3 + 4)[0]


def transport(frame, p):
    """Ports, or ICMP's id as a source port."""
    if p.protocol in (6, 17, 132):
        return struct.unpack_from('!HH', frame, p.l4)
    if p.protocol in (1, 58):
        return struct.unpack_from('!H', frame, p.l4 + 4)[0], 0
    return 0, 0


ECHO = {1: (8, 0), 58: (128, 129)}
seen, sentinels, fresh = {}, {}, 0


def find_token(frame):
    """Where the token begins, -1 without a whole one: an error of a router quotes as much as it likes."""
    at = frame.find(MAGIC)
    return at if at + 13 <= len(frame) else -1


def token(frame, at):
    kind = frame[at + 8:at + 9].decode()
    return kind, struct.unpack_from('!I', frame, at + 9)[0]


def take(station, frame):
    global fresh
    if len(frame) < 34:
        return
    p = Packet(frame)
    at = find_token(frame)
    if at >= 0 and frame[at + 8:at + 9] == b'L':
        fresh += 1
        key = (station.place, token(frame, at)[1], 'L', '', '', 0, 0, frame[0:6] == station.mac, p.vlan)
        seen[key] = seen.get(key, 0) + 1
        return
    if p.kind == b'\x08\x06':
        return take_arp(station, frame, p)
    if p.protocol is None:
        return
    if p.protocol == 58 and frame[p.l4] == 135:
        return answer_solicitation(station, frame, p)
    if p.protocol == 58 and frame[p.l4] == 136:
        found.add((station.place, text(frame[p.l4 + 8:p.l4 + 24])))
    if at < 0:
        return
    kind, number = token(frame, at)
    if is_error(frame, p):
        # An error message quotes the packet that it is about: of interest where a station was to send it.
        if kind not in 'UF':
            return
        fresh += 1
        key = (station.place, number, 'E', text(p.source), text(p.destination), 0, 0, frame[0:6] == station.mac, p.vlan)
        seen[key] = seen.get(key, 0) + 1
        return
    if p.protocol in ECHO and frame[p.l4] == ECHO[p.protocol][1]:
        kind = 'R'
    sport, dport = transport(frame, p)
    addressed = frame[0:6] == station.mac
    fresh += 1
    key = (station.place, number, kind, text(p.source), text(p.destination), sport, dport, addressed, p.vlan)
    seen[key] = seen.get(key, 0) + 1
    if kind in 'PUF' and addressed and p.vlan is None and p.destination in station.addresses and station.knows(p.source):
        answers = [reply(frame, p, at)] if kind == 'P' else [unreachable(frame, p)] if kind == 'U' else fragments(unreachable(frame, p, FRAGMENT), number)
        # As a guest routes: a neighbour is answered directly, anybody else by way of the gateway. The outside asks its wire.
        way = frame[6:12] if station.onlink else station.neighbours.get(p.source) or station.gateways.get(len(p.source))
        for answer_frame in answers if way else []:
            station.send(way + answer_frame[6:])


def text(address):
    return socket.inet_ntop(socket.AF_INET if len(address) == 4 else socket.AF_INET6, address)


def take_arp(station, frame, p):
    op = struct.unpack_from('!H', frame, p.l3 + 6)[0]
    sha, spa, tpa = frame[p.l3 + 8:p.l3 + 14], frame[p.l3 + 14:p.l3 + 18], frame[p.l3 + 24:p.l3 + 28]
    if tpa[:2] == b'\xa9\xfe' and op == 1:
        sender = senders.get(sha)
        if sender is not None and sender != station.place:
            key = (sender, station.place)
            sentinels.setdefault(struct.unpack('!H', tpa[2:])[0], set()).add(key)
            doubles[key] = doubles.get(key, 0) + 1
    elif op == 2:
        found.add((station.place, text(spa)))
    elif op == 1 and tpa in station.addresses and p.vlan is None:
        station.send((sha + station.mac + b'\x08\x06' + b'\0\1\x08\0\x06\x04\0\2' + station.mac + tpa + sha + spa).ljust(60, b'\0'))


def answer_solicitation(station, frame, p):
    target = frame[p.l4 + 8:p.l4 + 24]
    if target not in station.addresses or p.vlan is not None or p.source == bytes(16):
        return
    body = b'\x88\0\0\0' + b'\x60\0\0\0' + target + b'\2\1' + station.mac
    pseudo = target + p.source + struct.pack('!II', len(body), 58)
    body = body[:2] + struct.pack('!H', checksum(pseudo + body)) + body[4:]
    station.send(frame[6:12] + station.mac + b'\x86\xdd' + b'\x60\0\0\0' + struct.pack('!H', len(body)) + b'\x3a\xff' + target + p.source + body)


def reply(frame, p, at):
    """The same frame back, as a program that listens there would answer."""
    out = bytearray(frame)
    out[0:6], out[6:12] = frame[6:12], frame[0:6]
    size = len(p.source)
    head = p.l3 + (12 if size == 4 else 8)
    out[head:head + size], out[head + size:head + 2 * size] = p.destination, p.source
    out[at + 8:at + 9] = b'R'
    if size == 4:
        out[p.l3 + 8] = 64
        out[p.l3 + 10:p.l3 + 12] = b'\0\0'
        out[p.l3 + 10:p.l3 + 12] = struct.pack('!H', checksum(bytes(out[p.l3:p.l4])))
    else:
        out[p.l3 + 7] = 64
    if p.protocol in (6, 17, 132):
        out[p.l4:p.l4 + 2], out[p.l4 + 2:p.l4 + 4] = frame[p.l4 + 2:p.l4 + 4], frame[p.l4:p.l4 + 2]
    if p.protocol == 6:
        out[p.l4 + 8:p.l4 + 12] = struct.pack('!I', (struct.unpack_from('!I', frame, p.l4 + 4)[0] + 1) & 0xffffffff)
        out[p.l4 + 13] = 0x12
    if p.protocol == 132:
        # INIT ACK to the peer's verification tag.
        out[p.l4 + 4:p.l4 + 8] = frame[p.l4 + 16:p.l4 + 20]
        out[p.l4 + 12] = 2
        out[p.l4 + 8:p.l4 + 12] = bytes(4)
        out[p.l4 + 8:p.l4 + 12] = struct.pack('<I', crc32c(bytes(out[p.l4:p.end])))
    if p.protocol in ECHO:
        out[p.l4] = ECHO[p.protocol][1]
    where = {1: 2, 58: 2, 6: 16, 17: 6}.get(p.protocol)
    if where is not None:
        out[p.l4 + where:p.l4 + where + 2] = b'\0\0'
        body = bytes(out[p.l4:p.end])
        pseudo = b'' if p.protocol == 1 else p.destination + p.source + (struct.pack('!BBH', 0, p.protocol, len(body)) if size == 4 else struct.pack('!II', len(body), p.protocol))
        out[p.l4 + where:p.l4 + where + 2] = struct.pack('!H', checksum(pseudo + body))
    return bytes(out)


def unreachable(frame, p, more=0):
    """What a host answers on whose port nobody listens: an ICMP error that quotes the packet, and `more` bytes."""
    quoted = frame[p.l3:p.end] + bytes(more)
    if len(p.source) == 4:
        body = b'\3\3\0\0' + bytes(4) + quoted
        body = body[:2] + struct.pack('!H', checksum(body)) + body[4:]
        head = struct.pack('!BBHHHBBH', 0x45, 0, 20 + len(body), 0, 0, 64, 1, 0) + p.destination + p.source
        head = head[:10] + struct.pack('!H', checksum(head)) + head[12:]
    else:
        body = b'\1\4\0\0' + bytes(4) + quoted
        body = body[:2] + struct.pack('!H', checksum(p.destination + p.source + struct.pack('!II', len(body), 58) + body)) + body[4:]
        head = struct.pack('!IHBB', 0x60000000, len(body), 58, 64) + p.destination + p.source
    return frame[6:12] + frame[0:6] + p.kind + head + body


# The first of two: Open vSwitch takes none below 1,200 bytes, below 1,280 with IPv6.
FRAGMENT = 1304


def fragments(frame, number):
    p = Packet(frame)
    body = frame[p.l4:p.end]
    pieces = []
    for at, part in (0, body[:FRAGMENT]), (FRAGMENT, body[FRAGMENT:]):
        more = at == 0
        if p.kind == b'\x08\x00':
            head = frame[p.l3:p.l3 + 2] + struct.pack('!HHH', 20 + len(part), number & 0xffff, (0x2000 if more else 0) | at // 8) + frame[p.l3 + 8:p.l3 + 10] + bytes(2) + frame[p.l3 + 12:p.l4]
            head = head[:10] + struct.pack('!H', checksum(head)) + head[12:]
        else:
            head = frame[p.l3:p.l3 + 4] + struct.pack('!HB', 8 + len(part), 44) + frame[p.l3 + 7:p.l4] + struct.pack('!BBHI', p.protocol, 0, at | more, number)
        pieces.append(frame[:p.l3] + head + part)
    return pieces


def is_error(frame, p):
    if p.protocol == 44:
        return frame[p.l4] == 58
    return p.protocol == 1 and frame[p.l4] not in (0, 8) or p.protocol == 58 and frame[p.l4] not in (128, 129)


def hear(ear, frame, vlan, direction):
    global fresh
    at = find_token(frame)
    if at < 0:
        return
    kind, number = token(frame, at)
    p, tunnel = Packet(frame), None
    if p.protocol == 17 and struct.unpack_from('!H', frame, p.l4 + 2)[0] in (4789, 6081) and at > p.l4 + 30 and len(frame) > p.l4 + 50:
        # VXLAN and Geneve have their number at the same place, and nothing behind their 8 bytes here.
        tunnel = int.from_bytes(frame[p.l4 + 12:p.l4 + 15], 'big')
        frame = frame[p.l4 + 16:]
        p = Packet(frame)
    if p.protocol == 44 and kind == 'F':
        return
    if p.protocol in ECHO and kind != 'L':
        if frame[p.l4] not in ECHO[p.protocol] and frame[p.l4] != 128:
            return
        if frame[p.l4] == ECHO[p.protocol][1]:
            kind = 'R'
    fresh += 1
    key = (ear.place + direction, number, kind, tunnel, vlan if vlan is not None else p.vlan)
    seen[key] = seen.get(key, 0) + 1


senders, doubles, found = {}, {}, set()


def pump(until, done):
    """Reads until `done()` or the time is up."""
    while not done():
        left = until - time.monotonic()
        if left <= 0:
            return False
        for fd, _ in poll.poll(left):
            place = by_fd[fd]
            for _ in range(64):
                try:
                    frame, vlan, direction = place.read()
                except BlockingIOError:
                    break
                if direction is None:
                    take(place, frame)
                else:
                    hear(place, frame, vlan, direction)
    return True


def announce(place, number):
    """A gratuitous ARP request of the station; the number is in the address that it asks for, which nobody has."""
    station = stations[place]
    address = next((a for a in station.addresses if len(a) == 4), bytes(4))
    station.send((b'\xff' * 6 + station.mac + b'\x08\x06' + b'\0\1\x08\0\x06\x04\0\1' + station.mac + address + bytes(6) + b'\xa9\xfe' + struct.pack('!H', number)).ljust(60, b'\0'))


class Sentinels:
    """Broadcasts behind the probes: once they have arrived, what was sent before them has, or never will."""

    def __init__(self, wanted, patience):
        self.wanted, self.patience, self.number = {tuple(pair) for pair in wanted}, patience, 0
        self.missing = set()

    def round(self):
        self.number += 1
        number = self.number
        arrived = sentinels.setdefault(number, set())
        for place in senders.values():
            announce(place, number)
        if not pump(time.monotonic() + self.patience, lambda: self.wanted <= arrived):
            # A way that is broken is waited for once only.
            self.missing |= self.wanted - arrived
            self.wanted &= arrived


def send(queues, sentinel, wave):
    while any(queues.values()):
        for _ in range(wave):
            for place, queue in queues.items():
                if queue:
                    stations[place].send(queue.pop(0))
        sentinel.round()
    # A packet may turn around at every hop: go on until rounds bring nothing any more.
    quiet, rounds = 0, 0
    # Something that goes round for ever is a finding, not a reason to wait.
    while quiet < 3 and rounds < 40:
        rounds += 1
        before = fresh
        sentinel.round()
        pump(time.monotonic() + 0.02, lambda: False)
        quiet = quiet + 1 if fresh == before else 0


def run(given):
    seen.clear(), sentinels.clear(), doubles.clear(), senders.clear(), found.clear()
    for place in given['senders']:
        senders[stations[place].mac] = place
    sentinel = Sentinels(given['sentinels'], given['patience'])
    # Two rounds teach every switch where everybody is: the first brings the announcement, the second finds it learned.
    sentinel.round(), sentinel.round()
    # Every station finds its neighbours first, as a guest would; the answers teach the switches where they are.
    for _ in range(5):
        open_questions = [(place, frame) for place, target, frame in given['questions'] if (place, target) not in found]
        for place, frame in open_questions:
            stations[place].send(bytes.fromhex(frame))
        if open_questions:
            sentinel.round(), sentinel.round()
            pump(time.monotonic() + 0.02, lambda: False)
    for phase in given['phases']:
        send({place: [bytes.fromhex(frame) for frame in frames] for place, frames in phase.items()}, sentinel, given['wave'])
    return {
        'seen': [list(key) + [count] for key, count in sorted(seen.items(), key=repr)],
        'missing': sorted(sentinel.missing),
        # A broadcast that reached somebody whom it should not, or more often than it was sent.
        'broadcasts': [[*pair, count / sentinel.number] for pair, count in sorted(doubles.items())],
    }


def answer(command):
    if 'open' in command:
        for given in command['open']:
            place = Ear(given) if given['kind'] == 'wire' else Station(given)
            (ears if given['kind'] == 'wire' else stations)[place.place] = place
            by_fd[place.fd] = place
            poll.register(place.fd, select.EPOLLIN)
        return {}
    if 'close' in command:
        for name in command['close']:
            place = stations.pop(name, None) or ears.pop(name)
            poll.unregister(place.fd)
            del by_fd[place.fd]
            place.close()
        return {}
    return run(command['run'])


for line in sys.stdin:
    try:
        print(json.dumps(answer(json.loads(line))), flush=True)
    except Exception as error:
        print(json.dumps({'error': '%s: %s' % (type(error).__name__, error)}), flush=True)

// Package replica links an instance with its peers. Each side sends the records that the other
// lacks and reports how far its own disk has them. The watermarks safe(p) and settled(p), which
// acknowledgements are based on, follow from these reports.
//
// The package implements these rules of client/GUARANTEES.md: R2 (links), R3 (markers for topics
// that a link leaves out), R4 (decrees), R5 (downgrade), R6 (catching up), R8 (damage), R11 (one
// session for each publisher), R14 (rejections) and R15 (plain clients). Watermarks, Progress,
// AckState, Link and Rejoin make the decisions, without goroutines, clocks or sockets. The rest of
// the package runs them.
//
// # The link's bytes
//
// A link is one TCP or TLS connection that serves both directions. Either side may dial. Once both have
// proven that they know the secret, they behave alike. The connection carries frames only:
//
//	length  uint32, big endian: bytes of the payload
//	crc     uint32, big endian: CRC-32C of the payload
//	payload a sequence of msgpack values: the frame's type, then its fields
//
// The limits of a payload are: the largest record plus 2 MiB; 1 MiB + 256 KiB for states; 64 KiB
// for a hello; 256 bytes before the peer has proven that it knows the secret. A reader
// skips fields that follow the ones that it knows.
//
//	 1 hello      name, run, group, digest, outbound, sync, topics (nil: all), damaged,
//	              cluster id (16 bytes; none: 0), whether the journal is empty, intact,
//	              hash of the topics that running CRCs cover, decree, the group's clock,
//	              the Forgotten clock (R10), version and hash of the permissions (32 bytes;
//	              none: 0)
//	 2 states     last, array of owners (at most 1,024 bytes each), array of publisher, check,
//	              have, durable, floor, running CRC, diverged (0: not), closing (R10), owner
//	              (its number in the array, from 1; 0: none)
//	 3 records    unchanged journal records, each after its length (package record), to the
//	              end of the payload
//	 4 ack        array of publisher, durable
//	 5 notice     id, client name, user, publisher, check, counter, instance
//	 6 answer     id, have, whether the name is refused, whether the id belongs to another
//	              publisher, whether the logon has lost, intact, whether the publisher has used
//	              the decree, the group's clock, the Forgotten clock, owner of the publisher
//	 7 heartbeat  damaged, more, array of publisher, have, running CRC, the group's clock,
//	              the Forgotten clock, the wall clock (microseconds), version and hash of the
//	              permissions, state of the sender's half of the link (0: none, 1: catching up,
//	              2: sync, 3: asynchronous, 4: the receiver is left out), number of records that
//	              the sender has not sent yet, about
//	 8 refuse     code, reason
//	 9 open       version, nonce (32 bytes)
//	10 proof      HMAC-SHA-256 (32 bytes); the first one of the dialled side has one for each
//	              secret while the secret is replaced
//	11 diverged   array of publisher, first sequence that is not proven equal
//	12 decree     number, 0 (would you object?) or 1 (take it), decree;
//	              number, 2 (answer), the objection
//	13 closing    array of publisher, have: the sender may forget these;
//	              1 if places need not name them any more (R10)
//	15 stopping   0: the sender runs (the answer of a running instance), 1: it stops, and its
//	              sessions wait for acks, 2: none of its sessions waits any more
//
// A decree consists of its incarnation, its id, the arrays of members and of lost instances, its
// time, how long it has stood (microseconds), and whether it has ended.
//
// Each side sends open, proof, hello, proof, then as many states frames as it needs, the last one
// marked. A side waits for the other where it must not go first:
//
//	dialler    open              proof hello proof                     states
//	dialled         open proof                       hello proof states
//
// The key of a proof is the link secret, or no bytes if there is none. The proof covers, in this
// order:
//
//	"holdfast link proof\n"
//	the role: 0 for the dialler's proof, 1 for the other side's (1 byte)
//	the number of hellos sent before (1 byte)
//	the dialler's nonce, the other side's nonce
//	the SHA-256 of each of these hellos' payloads, the dialler's first
//
// Before the other side has proven that it knows the secret, a side sends only version, nonce and
// proof. It sends no states before it has accepted the other side's hello. The frames after the
// handshake are neither encrypted nor protected against changes, except by TLS. With TLS the
// certificate of each side must have the name that its hello states.
//
// While the secret is replaced, a side has the old and the new one. The dialler takes one of them
// that the other side has proven, and both use it for the rest of the handshake.
//
// If a journal is empty and has no cluster id, it takes over the id of the other side before its
// instance sends anything more. If neither side has an id, the instance that knows no smaller name
// makes one. If that instance has dialled, it then closes (crossed) and sends the id in its next
// hello.
//
// outbound says that the side sends records on this link. sync says that it waits for the acks of
// these records. Both are independent for each direction. A running CRC of 0 is not compared.
//
// A side may find a publisher with two contents, or two publishers with one id. It notes the
// publisher in its journal, then sends diverged. A side that learns of a divergence in this way
// does the same. Nothing more of that publisher is sent; records of it that still arrive are
// skipped.
//
// A side that finds an error sends refuse and closes:
//
//	1 crossed   another connection of the two stays; nothing is wrong
//	2 hello     not a peer: version, name, group, digest or topics
//	3 record    a hole, or a record that does not decode (R1, R2)
//	5 stranger  the peer has not proven that it knows the secret; without a reason
//	6 cluster   a journal of another group
//	7 incarnation the peer had no part in our decree (R4, R10)
//
// The first record of a publisher that the peer does not know carries the publisher's check,
// unless this instance does not know it. Markers (R2: gone, R3: elsewhere) are journal records
// like any other. A gone marker carries the owner of the publisher, an elsewhere marker the user of
// its message, because the record that gives the publisher its owner may be among those that the
// marker stands for. A message never carries another user than the one who published it. The
// states tell the owner to a peer that has the publisher without one. A link refuses no record
// for its user. The owners in all states of a hello are at most 64 MiB long, each counted once.
//
// A heartbeat is sent every interval, busy or idle. After four intervals without a byte the link
// is considered lost. A heartbeat carries the running CRCs of the publishers that moved since the
// last one; more says that there are others that did not fit. One is sent at once when the sender
// leaves the receiver out of its acks, or no longer does.
package replica

// protocolVersion is the version in the open frame. A peer with another version is refused.
const protocolVersion = 2

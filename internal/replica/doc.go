// Package replica links an instance with its peers: each sends the other what
// it has and the other has not, and learns how far the other's disk has it.
// From that follow the two watermarks that acknowledgements are made of.
//
// The rules are R2, R3, R5, R6, R8, R11, R14 and R15 of client/GUARANTEES.md.
// What decides is in files without goroutines, clocks or sockets: Watermarks,
// Progress, AckState, Link, Rejoin. The rest of the package runs them.
//
// # The link's bytes
//
// A link is one TCP connection that serves both directions. Either side may
// have dialled; from the first byte on both behave alike. All of it is frames:
//
//	length  uint32, big endian: bytes of the payload
//	crc     uint32, big endian: CRC-32C of the payload
//	payload a sequence of msgpack values: the frame's type, then its fields
//
// A payload is at most the largest message plus 2 MiB; of a connection that
// has not yet said hello it is at most 1 MiB + 64 KiB. Fields that follow the
// ones a reader knows are skipped.
//
//	1 hello      version, name, run, group, digest, outbound, sync, topics (nil: all), damaged
//	2 states     last, array of publisher, check, have, durable, floor, running CRC
//	3 records    journal records as they are, each a bin, to the end of the payload
//	4 ack        array of publisher, durable
//	5 notice     id, client name, user, publisher, check, counter, instance
//	6 answer     id, have, whether the name is refused, the publisher is another, the logon has lost
//	7 heartbeat  damaged, more, array of publisher, have, running CRC
//	8 refuse     code, reason
//
// Each side begins with hello and as many states as it needs, the last one
// marked. outbound says that the side sends records on this link, sync which
// acks it takes for them; both are true or false for each direction by itself.
// A side that finds something wrong sends refuse and closes:
//
//	1 crossed   another connection of the two stays; nothing is wrong
//	2 hello     not a peer: version, name, group, digest or topics
//	3 record    a hole, or a record that does not decode (R1, R2)
//	4 differs   an identity with other content (R11), or a publisher with another check (R10)
//
// The first record of a publisher that goes to a peer without that publisher
// brings the check along, unless nobody here knows it. Records and markers (R2: gone, R3: elsewhere) are journal records alike. A
// heartbeat comes every interval, busy or idle; four intervals without a byte
// mean that the link is lost. It brings the running CRCs of publishers that
// moved since the last one; more says that there were more than it holds.
package replica

// protocolVersion is what hello says; peers of another one are refused.
const protocolVersion = 2

// Package outbound writes to connections. A Writer has one goroutine, Run,
// which asks a Source for output and writes it. To wake that goroutine takes
// longer than to write a short frame. A goroutine that brings news, such as an
// fsync that covers a message, may therefore call Inline: it asks the Source
// and writes by itself, as far as the connection takes the output without
// blocking. Run's goroutine writes the rest.
//
// # States
//
// A token says which goroutine works with the Source and the output. Its
// holder also owns the state:
//
//	greeting      the peer must read a greeting first; only Run's goroutine writes
//	running       the holder of the token asks the Source and writes
//	handing over  an inline writer has left output; only Run's goroutine writes
//	ended         the Source or the connection has ended; nothing is written
//
//	greeting ──Greeted──▶ running ──the connection is full──▶ handing over
//	                         ▲                                     │
//	                         └──────────all of it is out───────────┘
//
// Inline in any state but running, or while another goroutine has the token,
// is Wake. So it is on connections that cannot be written without blocking,
// such as TLS and pipes in memory: there Run's goroutine writes everything.
//
// The Source is asked only when the connection has taken all the output
// before. Output is therefore written in the order in which the Source made
// it, and a frame that was begun is finished before anything else is written.
//
// # The end
//
// A Source ends the output with io.EOF: Run writes what is left and returns
// nil. After any other error, of the Source or of the connection, nothing more
// is written, since a frame may be torn, and Run returns the error. Finish
// bounds the time that the rest may take. To end at once, close the connection,
// have the Source return io.EOF, and call Wake.
//
// # Sources
//
// A link's sender makes records, link acks and heartbeats. Its greeting is the
// handshake. Records, link acks and queued answers suit an inline writer;
// heartbeats, floors and markers do not. An append calls Inline if its record is the only one that a sync
// destination has not acknowledged, and an fsync if it covers one publisher and
// nothing was appended meanwhile; everything else calls Wake.
//
// A server's session makes acks, deliveries and heartbeats. Only acks are
// written inline, and only if nothing is queued that must go out before them.
// The goroutine that moves the watermark of one publisher calls Inline. A
// session that is to end after its last frames calls Finish with the time that
// it grants them. One that is cut off calls Finish with a time that has passed.
//
// A client writes commands and publishes, none of them inline. The News of its
// Writer is the publish store's Appended. Fill takes the queued commands, then
// publishes up to the window and about 64 KiB, and returns Again if that was
// reached, otherwise the time of the next heartbeat. A connection that fails is
// closed; then Wake, for Fill to return io.EOF.
package outbound

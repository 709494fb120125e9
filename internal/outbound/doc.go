// Package outbound writes to connections. A Writer has one goroutine, Run, which asks a Source for
// output and writes it. Waking that goroutine takes longer than writing a short frame. So a
// goroutine that causes output, such as an fsync that covers a message, may call WriteInline.
// WriteInline asks the Source and writes the output itself, as far as the connection takes it
// without blocking. Run's goroutine writes the rest.
//
// # States
//
// A token decides which goroutine calls the Source and writes the output. Its holder also owns the
// state:
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
// In any state but running, or while another goroutine has the token, WriteInline does the same as
// Wake. Connections that cannot be written without blocking, such as TLS and pipes in memory, have
// no inline writes either: there Run's goroutine writes everything.
//
// The Source is asked only when the connection has taken all earlier output. So output is written
// in the order in which the Source made it, and a frame is finished before anything else is
// written.
//
// # The end
//
// A Source ends the output with io.EOF. Run then writes the rest and returns nil. After any other
// error, of the Source or of the connection, Run returns the error. It writes nothing more,
// because a frame may be torn. Finish sets a deadline for the rest. To end at once, close the
// connection, make the Source return io.EOF, and call Wake.
//
// # Sources
//
// A link's sender makes records, link acks and heartbeats. Its greeting is the handshake. Records,
// link acks and queued answers suit an inline writer; heartbeats, floors and markers do not. An
// append calls WriteInline if its record is the only one that a sync destination has not
// acknowledged. An fsync calls it if it covers one publisher and nothing was appended meanwhile.
// All others call Wake.
//
// A server's session makes acks, deliveries and heartbeats. Only acks are written inline, and only
// if nothing is queued that must go out before them. The goroutine that moves the watermark of one
// publisher calls WriteInline. A session that must end after its last frames calls Finish with the
// deadline for them. A session that is cut off calls Finish with a time in the past.
//
// A client writes commands and publishes, none of them inline. The News of its Writer is the
// publish store's Appended. Fill takes the queued commands, then publishes up to the window and
// about 64 KiB. It returns Again if it has reached one of these bounds, otherwise the time of the
// next heartbeat. To give up a failed connection, the client closes it and calls Wake, and Fill
// returns io.EOF.
package outbound

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
// # How a server's session uses it
//
//   - The session's output is the Source. Fill with inline false takes the
//     queued frames, then appends acks, deliveries, marks and, if nothing else
//     was appended, a heartbeat. It returns the time when the next heartbeat,
//     mark or held back ack is due, or Again if a follower has more.
//   - Fill with inline true appends only the acks that are due. If the logon is
//     not answered yet, or frames are queued that must go out before the acks,
//     or the session is not open, it appends nothing and returns Again.
//   - Fill calls Greeted when the logon has been answered.
//   - The goroutine that moves a watermark calls Inline if the session is the
//     only one concerned, otherwise Wake. Everything else calls Wake.
//   - A session that is to end after its last frames calls Finish with the time
//     it grants them, and its Fill appends them and returns io.EOF. To cut a
//     session off, Finish with a time that has passed.
//   - One goroutine of the session calls Run, and closes the session's
//     followers after it has returned: Fill is not called again.
package outbound

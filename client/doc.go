// Package client publishes to and subscribes from a pair of servers so that a
// server, a connection or the process itself may die at any moment and no
// message is lost, repeated or reordered. What that means word by word, and
// where it ends, is in GUARANTEES.md beside this file; G and R numbers refer
// to it.
//
// # Lifecycle
//
// Dial starts a client; it returns after the first logon, or at once with
// Config.Offline. From then on the client connects, logs on, sends again,
// subscribes again and connects again by itself, for ever: to the next server
// its ServerChooser names, with fresh credentials each time, at once for
// every server of the list and then after jittered delays that grow to 5s. A
// wrong password does not end it. What ends it by itself is ErrNameInUse, and a
// publish store that cannot be used any more: its disk failed
// (*pubstore.FailedError), it belongs to another client name
// (pubstore.ErrOtherName), or the application has closed it
// (pubstore.ErrClosed). Then every call returns ErrClosed with that reason.
//
//	connecting → recovering → live → (lost) → waiting → connecting …
//
// Close abandons and Drain finishes; both are final. The stores belong to the
// application, which closes them after the client. One client at a time uses a
// publish store: a second one of the same process is refused by Dial
// (pubstore.ErrInUse), another process by the stores on disk when it opens them.
//
// The server beside this package, holdfastd, offers of the protocol what the
// guarantees are about: publish, subscribe, bookmarks, heartbeats and flush. It
// has no TLS, checks no passwords, and refuses content filters, SOW commands,
// deltas and ranges of bookmarks with a *CommandError or *RejectedError. This
// package sends them all the same, to servers that have them.
//
// # Publishing
//
// Publish returns nil once the message is in the publish store. From then on
// it is on its way, connected or not:
//
//   - after Publish: it survives connections and servers, and with
//     pubstore.File or pubstore.Bolt a killed process (G1);
//   - after Flush: it is on the disk of every server that counts at the
//     moment, which is one while the other is downgraded (G2); the store keeps
//     it until both have it;
//   - after FlushSafe: it is on both disks.
//
// Messages go out in the order of their sequences, also across failovers:
// what was sent before and is not yet safe is sent again before anything new
// (R1). A message that a server rejects is the exception: the hook FailedWrite
// is told once, the store lets it go, and those behind it are sent all the
// same. Hence a caller who must not send B if A failed waits for A (Flush, and
// FailedWrite) before publishing B.
//
// At the store's bound Publish waits for room, or returns pubstore.ErrFull, as
// the store was opened. A context ends the wait of the call it is given to and
// never the delivery of a message.
//
// # Subscribing
//
// A subscription made with From has a place, kept in the bookmark store: what
// was received, and what the application has discarded. While the client
// lives, each matching message is handed over once, through any number of
// reconnects (G6); after a restart with the same ID and From(MostRecent), what
// was not discarded comes again, and only that. Per publisher the order is
// that of publishing; between publishers, and between subscriptions, there is
// none. If the application falls behind, the server's log is the buffer (R12).
// If that log no longer has what the subscription needs, a *GapError says
// which messages are gone (G7).
//
// A topic that has any of ^ $ . * + ? ( ) [ ] { } | \ is a regular expression
// (RE2), searched anywhere in the topic: orders.eu also gets orders_eu, and
// ^orders\.eu$ does not. The topic of a Publish is always literal.
//
// A subscription without From gets what is published while it is connected.
// If the application falls behind, its Policy decides.
//
// # Servers without our extensions
//
// The client also speaks to servers that know the plain protocol only. Then
// acks are as safe as that server makes them; a publish store numbers its
// messages under the client name, so that two processes of one name destroy
// each other's messages unnoticed; and a bookmark subscription resumes from a
// list of bookmarks instead of a vector, which can miss messages of a
// publisher from which it has not received any, and, begun at Now, those that
// were published before its first message and a reconnect.
//
// # Goroutines
//
// The application's code runs on its own goroutines, the body of a loop over
// Messages and the function given to Handle included: they may block, publish
// and flush. Only Hooks run on the client's session goroutine; they must not
// block. A client has that one, and two for each connection, which Close
// waits for. No channel is ever handed out.
//
// # Errors
//
// Each is for errors.Is or errors.As, however wrapped:
//
//	ErrClosed                     the client has ended; make another one
//	pubstore.ErrFull              slow down; the servers do not keep up or are away. Also
//	                              when the context ended while Publish waited for room
//	*pubstore.FailedError         the disk failed: restart the process, elsewhere if need be
//	pubstore.ErrOtherName         (ended by itself) give each client name a store of its own
//	pubstore.ErrClosed            (ended by itself) close the store after the client
//	pubstore.ErrInUse             (Dial) one client at a time uses a store
//	*TooLargeError                split the message (= *pubstore.TooLargeError)
//	*RejectedError                (hook FailedWrite) store it elsewhere or drop it
//	*UnsettledError               (Flush, FlushSafe, Drain) nothing: it is still on its
//	                              way; or wait again
//	ErrPublishGap                 (Stats, hook PublishGap) nothing: it ends when that server
//	                              has caught up; or Renew
//	ErrStoreRolledBack            (hook) find out who restored or copied the store
//	ErrNameInUse                  find the other process of this name
//	*GapError                     report what is lost; subscribe again with AcceptGaps
//	ErrNotReplicated              wait for the server that has the topic; or AllowUnreplicated
//	ErrSlowConsumer               take messages faster; or subscribe with From
//	*CommandError                 mend the command, or the permissions
//	ErrTimeout, ErrDisconnected   try the command again
//	ErrProtocol                   (Stats, hook Disconnected) is it the right port of a server?
//	ErrInUse                      one loop at a time reads a subscription
//	ErrNoSubscription             (Client.Discard) discard while the subscription lasts
//	bookmarkstore.ErrInUse        (Subscribe) give each subscription its own ID
//	*bookmarkstore.FailedError    the disk failed: as above
//	*ConnectError                 (Dial, Stats, hook Disconnected) nothing, the client goes on
//
// From opening a store, before there is a client:
//
//	pubstore.ErrLocked, bookmarkstore.ErrLocked
//	                              another process has the store open: find or await it
//	*pubstore.DamagedError        look after the disk; FileOptions.AcceptDamage gives up what
//	                              cannot be read (a backup would be a rollback)
package client

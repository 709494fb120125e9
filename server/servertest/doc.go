// Package servertest runs the server inside a test of an application. It starts
// one instance or a pair, and it causes the faults that a pair exists for.
//
//	// Orders that are published while a server dies arrive, once each.
//	func TestFailover(t *testing.T) {
//		synctest.Test(t, func(t *testing.T) {
//			pair := servertest.NewPair(t)
//			c, err := client.Dial(t.Context(), pair.Client("order-gateway"))
//			if err != nil {
//				t.Fatal(err)
//			}
//			defer c.Close()
//			publish := func(from, to int) {
//				for n := from; n <= to; n++ {
//					if _, err := c.Publish(t.Context(), "orders", fmt.Append(nil, n)); err != nil {
//						t.Fatal(err)
//					}
//				}
//			}
//			publish(1, 100)
//			sub, err := c.Subscribe(t.Context(), "orders", client.From(client.Epoch))
//			if err != nil {
//				t.Fatal(err)
//			}
//			n := 0
//			for m, err := range sub.Messages(t.Context()) {
//				if n++; err != nil || string(m.Body) != fmt.Sprint(n) {
//					t.Fatalf("got %s (%v), want order %d", m.Body, err, n)
//				}
//				if n == 50 {
//					pair.A.Kill() // the client goes on at B
//					publish(101, 200)
//				}
//				if n == 200 {
//					break
//				}
//			}
//			pair.A.Restart()
//			pair.AwaitConverged() // both journals hold the same
//		})
//	}
//
// # What is real
//
// The server is real: it is the code that holdfastd runs, with its journal, its
// links and its sessions. The network and the disks are in memory. A test
// therefore needs no ports, files or containers, takes milliseconds, and can cut
// any connection and fail any disk. The disk in memory distinguishes written
// data from synced data. The network has no delay and loses nothing unless the
// test tells it to. With [Real] the network and the disks are the machine's own.
//
// The application connects with its own client. [Pair.Client] returns a client
// configuration; the test adds the stores and other settings. An application that
// builds its own configuration uses [Pair.Dial] as client.Config.Dial, and
// "tcp://"+address+"/amps/json" for each address in [Pair.Addrs] as its servers,
// with "tcps" instead of "tcp" if the pair has TLS.
//
// # Defaults
//
// The instances of a pair are named a and b. Each replicates all topics to the
// other, synchronously. Neither is ever downgraded: while one is away, publishing
// goes on and Flush waits ([DowngradeAfter] changes that). An instance that is
// started while its peer is away serves after 10 s. Everything else is as in
// [server.Config], and [Config] changes it. The disks are empty, and connections
// have neither authentication nor TLS ([TLS] changes that). New and NewPair return when the servers serve clients.
// They close the servers at the end of the test. The test closes the clients
// itself; in a bubble it must do so before it returns.
//
// # Faults
//
// Each fault is a method of [Instance], except that Partition is one of [Pair], and
// Intercept is a method of both. A star marks those that do not work with [Real].
//
//	method          the fault                                         ends with
//
//	Kill            the process dies at once                          Restart
//	Close           the process stops cleanly                         Restart
//	PowerCut *      the machine dies: unsynced data is gone           Restart
//	Wipe            the disk is lost, and the process dies            Restart
//	FailDisk *      a write or sync fails, and the instance ends      Restart
//	Freeze *        the process hangs: connections stay open, silent  Thaw
//	CutClients *    clients are cut off, silently                     HealClients
//	ResetClients *  the connections of clients are reset              itself
//	Partition *     the link of the pair is cut, silently             Heal
//	DelayAcks       publishers' acks come late                        DelayAcks(0)
//	Intercept       commands vanish, are refused, or end their        Intercept(nil)
//	                connection
//
// A test can examine the journals without a client. Have and Messages read the journal of
// an instance, running or not, PublisherID returns the id of a client's publisher, and
// Converged compares the journals of a pair.
//
// # Time
//
// In a testing/synctest bubble, as above, the clock advances as soon as every
// goroutine waits. Giving up a silent connection after two heartbeats, a downgrade
// after 5 s and the growing delays of a client take no real time, and time.Sleep
// is exact. Create the instances and the clients inside the bubble; Real does not
// work there. Everything also works without a bubble. A fault then takes as long
// as in production: clients and peers notice Kill at once, since the connections
// end, and they notice Freeze, CutClients and Partition after 2 s.
//
// An Example function or a program has no *testing.T: [Program] takes its place.
package servertest

// Package servertest runs the server inside a test of an application: one
// instance, or a pair of equals, and makes the faults that a pair is there for.
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
//				if n++; err != nil || string(m.Data) != fmt.Sprint(n) {
//					t.Fatalf("got %s (%v), want order %d", m.Data, err, n)
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
// The server is: the code that holdfastd runs, with its journal, its links and
// its sessions. The network and the disks are in memory, so that a test needs
// no ports, no files and no containers, takes milliseconds, and can cut and
// fail what it likes. The disk in memory tells what was written from what was
// synced, and the network has no delay and loses nothing unless told. With
// [Real] both are the machine's.
//
// An application uses it through its own client: [Pair.Client] is a
// configuration to complete, with stores for one. An application that makes
// its own configuration takes [Pair.Dial] for client.Config.Dial and
// "tcp://"+address+"/amps/json" of [Pair.Addrs] for its servers.
//
// # Defaults
//
// The two of a pair are named a and b and replicate all topics to each other,
// sync, and neither is ever downgraded: while one is away, publishing goes on
// and Flush waits ([DowngradeAfter] changes that). An instance that is started
// while its peer is away serves after 10 s. Everything else is as in
// [server.Config], and [Config] changes it. Disks are empty, and connections
// have no authentication. New and NewPair return when clients are served, and
// close everything at the end of the test. The clients are the test's to close,
// in a bubble before it returns.
//
// # Faults
//
// Those of an instance, and of the pair where it says so:
//
//	Kill            the process dies at once                  Restart
//	Close           the process ends in order                 Restart
//	PowerCut        the machine dies: unsynced data is gone   Restart    in memory only
//	Wipe            the disk is lost, and the process dies    Restart
//	FailDisk        a write or sync fails: it ends by itself  Restart    in memory only
//	Stop            half dead: all is open, nothing answers   Cont       in memory only
//	CutClients      clients are cut off, silently             HealClients, in memory only
//	DropClients     clients' connections are reset                       in memory only
//	Partition       of the pair: the link is cut, silently    Heal       in memory only
//	DelayAcks       publishers' acks come late                DelayAcks(0)
//	Intercept       commands vanish, are refused, or end      Intercept(nil)
//	                their connection
//
// and what can be seen without the network: Have, Messages and Publisher of an
// instance, also of a dead one, and Converged of the pair.
//
// # Time
//
// In a testing/synctest bubble, as above, time passes as soon as nothing else
// can happen: a silent connection that is given up after two heartbeats, a
// downgrade after 5 s and a client's growing delays take no time at all, and
// time.Sleep is exact. Make the instances and the clients in the bubble; Real
// does not work there. Without a bubble everything works as well, and a fault
// takes as long as it does in production: Kill is noticed at once, since the
// connections end, and Stop, CutClients and Partition after 2 s.
//
// An Example function and a program have no test: [Program] is for them.
package servertest

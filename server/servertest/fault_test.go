package servertest_test

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/internal/testdoor"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
	"github.com/holdfast-mq/holdfast/server"
	"github.com/holdfast-mq/holdfast/server/servertest"
)

func TestKillAndRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := servertest.NewPair(t)
		a := start(t, pair.Client("app"))
		a.wantEvent(atA)
		a.publish(1, 3)
		a.flush(0, time.Second)
		began := time.Now()
		pair.A.Kill()
		a.wantEvent(atB)
		if took := time.Since(began); took > time.Second {
			t.Errorf("continued after %v", took)
		}
		a.publish(4, 4)
		a.stayUnsafe(time.Hour) // never downgraded
		wantOrders(t, pair.A, "1", "2", "3")
		wantOrders(t, pair.B, "1", "2", "3", "4")
		pair.A.Kill() // no effect: it is dead already
		pair.A.Restart()
		a.flush(0, time.Minute)
		pair.AwaitConverged()
		pair.B.Restart() // closes it first
		a.wantEvent(atA)
	})
}

func TestDowngradeAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		servertest.New(t, servertest.DowngradeAfter(time.Hour)) // no effect without a peer
		pair := servertest.NewPair(t, servertest.DowngradeAfter(5*time.Second))
		a := start(t, pair.Client("app"))
		a.wantEvent(atA)
		pair.B.Kill()
		began := time.Now()
		a.publish(1, 1)
		a.wantEvent("downgraded true")
		if took := time.Since(began).Round(time.Second); took != 5*time.Second {
			t.Errorf("downgraded after %v", took)
		}
	})
}

// Data that was not synced survives a kill of the process, but not a power cut.
func TestPowerCut(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(*servertest.Instance)
		want []string
	}{
		{"kill", (*servertest.Instance).Kill, []string{"1", "2", "3"}},
		{"power cut", (*servertest.Instance).PowerCut, []string{"1", "2"}},
		{"both", func(i *servertest.Instance) { i.Kill(); i.PowerCut() }, []string{"1", "2"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i := servertest.New(t)
				a := start(t, i.Client("app"))
				a.publish(1, 2)
				a.flush(0, time.Second)
				testdoor.Part[*memfs.FS](i).SetSyncDelay(time.Minute)
				a.publish(3, 3)
				time.Sleep(time.Second)
				wantOrders(t, i, "1", "2", "3")
				tt.end(i)
				wantOrders(t, i, tt.want...)
				i.Restart()
				a.flush(0, time.Minute) // the client's store still has the message
				wantOrders(t, i, "1", "2", "3")
			})
		})
	}
}

func TestWipe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := servertest.NewPair(t)
		a := start(t, pair.Client("app"))
		a.publish(1, 3)
		a.flush(0, time.Second)
		pair.A.Wipe() // kills it first
		wantOrders(t, pair.A)
		if have := pair.A.Have(pair.PublisherID("app")); have != 0 {
			t.Errorf("a wiped disk has %d", have)
		}
		pair.A.Restart()
		pair.AwaitConverged()
		wantOrders(t, pair.A, "1", "2", "3")
		pair.B.Kill()
		pair.B.Wipe()
		wantOrders(t, pair.B)
		pair.B.Restart()
		pair.AwaitConverged()
	})
}

func TestFailDisk(t *testing.T) {
	for _, cause := range []error{syscall.EIO, syscall.ENOSPC} {
		t.Run(cause.Error(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				pair := servertest.NewPair(t)
				a := start(t, pair.Client("app"))
				a.wantEvent(atA)
				pair.A.FailDisk(cause)
				pair.A.FailDisk(nil)
				a.publish(1, 1)
				a.flush(0, time.Second)
				pair.A.FailDisk(cause)
				a.publish(2, 2)
				err := pair.A.AwaitEnd()
				if _, disk := errors.AsType[*server.DiskError](err); !disk || !errors.Is(err, cause) {
					t.Errorf("ended with %v", err)
				}
				a.wantEvent(atB)
				pair.A.Restart()
				pair.A.AwaitReady()
				a.flush(0, time.Minute)
				pair.AwaitConverged()
				wantOrders(t, pair.A, "1", "2")
			})
		})
	}
}

// A frozen instance accepts connections and bytes, but sends nothing to clients or to
// its peer.
func TestFreezeAndThaw(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := servertest.NewPair(t)
		a := start(t, pair.Client("app"))
		a.wantEvent(atA)
		began := time.Now()
		pair.A.Freeze()
		a.publish(1, 1)
		a.wantEvent(atB)
		if took := time.Since(began).Round(time.Second / 2); took < 2*time.Second || took > 3*time.Second {
			t.Errorf("given up after %v, want two heartbeats", took)
		}
		a.stayUnsafe(time.Minute)
		if nc, err := pair.A.Dial(within(t, time.Second), "tcp", pair.A.Addr()); err != nil {
			t.Errorf("dial: %v", err)
		} else {
			nc.Close()
		}
		wantOrders(t, pair.A)
		pair.A.Thaw()
		a.flush(0, time.Minute)
		pair.AwaitConverged()
		wantOrders(t, pair.A, "1")
		pair.B.Freeze()
		pair.B.Restart() // the end of a process thaws it
		pair.B.AwaitReady()
		for _, end := range []func(){pair.B.Kill, pair.B.PowerCut} {
			pair.B.Freeze()
			end()
			pair.B.Restart()
			pair.AwaitReady()
		}
		a.publish(2, 2)
		a.flush(0, time.Minute)
		pair.A.Freeze() // the end of the test thaws it, too
	})
}

// Clients that are cut off give the instance up after two heartbeats. Its link works on.
func TestCutClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := servertest.NewPair(t)
		a := start(t, pair.Client("app"))
		a.wantEvent(atA)
		began := time.Now()
		pair.A.CutClients()
		a.publish(1, 1)
		a.wantEvent(atB)
		if took := time.Since(began).Round(time.Second / 2); took < 2*time.Second || took > 3*time.Second {
			t.Errorf("given up after %v, want two heartbeats", took)
		}
		a.flush(0, time.Second)
		pair.AwaitConverged()
		pair.A.Restart()
		if nc, err := pair.Dial(within(t, time.Minute), "tcp", pair.A.Addr()); err == nil {
			nc.Close()
			t.Error("dialled an instance that is cut off")
		}
		pair.A.AwaitReady()
		pair.A.HealClients()
		pair.B.Kill()
		a.wantEvent(atA)
	})
}

func TestResetClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := servertest.New(t)
		a := start(t, i.Client("app"))
		a.wantEvent(atA)
		began := time.Now()
		i.ResetClients()
		a.wantEvent(atA)
		if took := time.Since(began); took > time.Second {
			t.Errorf("connected again after %v", took)
		}
		if failures := a.Stats().Failures[atA]; failures != 1 {
			t.Errorf("lost %d connections", failures)
		}
	})
}

func TestPartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := servertest.NewPair(t)
		a, b := start(t, pair.A.Client("to-a")), start(t, pair.B.Client("to-b"))
		pair.Partition()
		a.publish(1, 1)
		b.publish(2, 2)
		a.stayUnsafe(time.Minute)
		b.stayUnsafe(time.Minute)
		wantOrders(t, pair.A, "1")
		wantOrders(t, pair.B, "2")
		if err := pair.Converged(); err == nil {
			t.Error("converged across a cut link")
		}
		pair.Heal()
		a.flush(0, time.Minute)
		b.flush(0, time.Minute)
		pair.AwaitConverged()
	})
}

// Everything also works without a bubble.
func TestInRealTime(t *testing.T) {
	pair := servertest.NewPair(t)
	a := start(t, pair.Client("app"))
	a.wantEvent(atA)
	a.publish(1, 3)
	pair.A.Kill()
	a.wantEvent(atB)
	a.receive(1, 3)
	pair.A.Restart()
	a.flush(0, 10*time.Second)
	pair.AwaitConverged()
}

// On real sockets and files the faults of processes, Intercept and DelayAcks work. The
// other faults fail the test and say why.
func TestReal(t *testing.T) {
	pair := servertest.NewPair(t, servertest.Real())
	a := start(t, pair.Client("app"))
	a.publish(1, 3)
	a.flush(0, 10*time.Second)
	pair.A.DelayAcks(50 * time.Millisecond)
	a.publish(4, 4)
	a.flush(50*time.Millisecond, 10*time.Second)
	pair.A.DelayAcks(0)
	addr := pair.A.Addr()
	pair.A.Wipe()
	a.publish(5, 5)
	a.receive(1, 5)
	wantOrders(t, pair.A)
	pair.A.Restart()
	pair.AwaitReady()
	pair.AwaitConverged()
	pair.B.Kill()
	wantOrders(t, pair.B, "1", "2", "3", "4", "5")
	if pair.A.Addr() != addr {
		t.Errorf("moved from %s to %s", addr, pair.A.Addr())
	}
	pair.B.Restart()

	for name, call := range map[string]func(*servertest.Pair){
		"PowerCut":     func(p *servertest.Pair) { p.A.PowerCut() },
		"FailDisk":     func(p *servertest.Pair) { p.A.FailDisk(syscall.EIO) },
		"Freeze":       func(p *servertest.Pair) { p.A.Freeze() },
		"Thaw":         func(p *servertest.Pair) { p.A.Thaw() },
		"CutClients":   func(p *servertest.Pair) { p.A.CutClients() },
		"HealClients":  func(p *servertest.Pair) { p.A.HealClients() },
		"ResetClients": func(p *servertest.Pair) { p.A.ResetClients() },
		"Partition":    (*servertest.Pair).Partition,
		"Heal":         (*servertest.Pair).Heal,
	} {
		text := mustFail(t, func(ft servertest.T) { call(servertest.NewPair(ft, servertest.Real(), servertest.Unstarted())) })
		if want := "servertest: " + name + " needs the network and disk in memory"; !strings.HasPrefix(text, want) {
			t.Errorf("%s: %q", name, text)
		}
	}
}

// A call that cannot work fails the test with advice.
func TestMisuse(t *testing.T) {
	for _, tt := range []struct {
		name string
		call func(*servertest.Instance)
		want string
	}{
		{"ready without a start", func(i *servertest.Instance) { i.AwaitReady() }, "a is not running: Restart starts it"},
		{"freeze without a start", func(i *servertest.Instance) { i.Freeze() }, "Freeze: a is not running: Restart starts it"},
		{"the end of a killed instance", func(i *servertest.Instance) { i.Restart(); i.Kill(); _ = i.AwaitEnd() }, "AwaitEnd: a is not running: it was ended by the test"},
		{"an end that does not come", func(i *servertest.Instance) { i.Restart(); _ = i.AwaitEnd() }, "a still runs after 1m0s"},
		{"an unknown client", func(i *servertest.Instance) { i.PublisherID("app") }, `no client named "app" has logged on as a publisher; those that have: []`},
		{"a bad configuration", func(i *servertest.Instance) {
			i.Configure(func(cfg *server.Config) { cfg.Log.Topics = []string{"("} })
			i.Restart()
		}, "start a: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				text := mustFail(t, func(ft servertest.T) { tt.call(servertest.New(ft, servertest.Unstarted())) })
				if !strings.Contains(text, tt.want) {
					t.Errorf("failed with %q, want %q", text, tt.want)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		i := servertest.New(t)
		if err := i.Start(); err == nil {
			t.Error("started twice")
		}
	})
}

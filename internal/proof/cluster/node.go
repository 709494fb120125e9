package cluster

import (
	"context"
	"errors"
	"fmt"
	"testing/synctest"

	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/testdoor"
	"github.com/holdfast-mq/holdfast/internal/testkit/journals"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
	"github.com/holdfast-mq/holdfast/internal/testkit/memnet"
	"github.com/holdfast-mq/holdfast/server"
)

// A Node is one instance with its disk.
type Node struct {
	Name   string
	Config server.Config
	FS     *memfs.FS
	Server *server.Server // nil while it is not running

	system *System
	host   *memnet.Host
}

// Start starts the instance. It doesn't wait until it serves clients.
func (n *Node) Start() {
	n.system.TB.Helper()
	if err := n.TryStart(); err != nil {
		n.system.TB.Fatalf("start %s: %v", n.Name, err)
	}
}

// TryStart is Start for an instance that may refuse to.
func (n *Node) TryStart() error {
	n.host = n.system.Net.Host(n.Name)
	n.Config = testdoor.OnDisk(n.Config, n.FS)
	n.Config.Listen = n.host.Listen
	n.Config.Dial = n.host.Dial
	srv, err := server.Start(n.Config)
	if err != nil {
		return err
	}
	n.Server = srv
	return nil
}

// AwaitReady waits until the instance serves clients.
func (n *Node) AwaitReady() {
	n.system.TB.Helper()
	n.system.Await(n.Name+" to serve clients", n.isReady)
}

func (n *Node) isReady() bool {
	select {
	case <-n.Server.Ready():
		return true
	default:
		return false
	}
}

func (n *Node) inSync() bool {
	if !n.isReady() {
		return false
	}
	for _, link := range n.Server.Status().Links {
		peer := n.system.isRunning(link.Peer)
		if peer && link.Outbound && link.State != "sync" && link.State != "live" {
			return false
		}
	}
	return true
}

func (s *System) isRunning(name string) bool {
	for _, n := range s.nodes {
		if n.Name == name && n.Server != nil {
			return true
		}
	}
	return false
}

// Kill ends the instance as kill -9 does. Everything written stays on its disk.
func (n *Node) Kill() { n.Crash(memfs.KeepAll) }

// PowerCut ends the instance's machine: everything not synced is lost.
func (n *Node) PowerCut() { n.Crash(memfs.Durable) }

// Crash ends the instance. mode decides the content of its disk.
func (n *Node) Crash(mode memfs.Mode) {
	n.system.TB.Helper()
	if n.Server == nil {
		n.system.TB.Fatalf("%s is not running", n.Name)
	}
	n.system.Net.Kill(n.Name)
	image := n.FS.Crash(mode)
	testdoor.Inside(n.Server).Kill()
	n.Server = nil
	n.FS = image
	n.FS.SetSyncDelay(SyncTime)
	synctest.Wait()
}

// Wipe gives a dead instance an empty disk.
func (n *Node) Wipe() {
	n.FS = memfs.New()
	n.FS.SetSyncDelay(SyncTime)
}

// Join gives an empty disk the id of a group, so that the instance need not meet the
// group before it serves; not whole: it has met the group, and nothing has come yet.
func (n *Node) Join(id journal.ClusterID, whole bool) {
	n.system.TB.Helper()
	j, err := journal.Open(journal.Options{FS: n.FS, Dir: n.Config.Data})
	if err == nil {
		err = j.AdoptCluster(id)
		if whole {
			err = errors.Join(err, j.BecomeIntact())
		}
		err = errors.Join(err, j.Close())
	}
	if err != nil {
		n.system.TB.Fatalf("%s joins its group: %v", n.Name, err)
	}
}

// Restart is Kill and Start.
func (n *Node) Restart() {
	n.Kill()
	n.Start()
}

// Shutdown stops the instance in order, as SIGTERM does.
func (n *Node) Shutdown() {
	n.system.TB.Helper()
	if err := n.Server.Shutdown(context.Background()); err != nil {
		n.system.TB.Errorf("shut down %s: %v", n.Name, err)
	}
	n.Server = nil
	synctest.Wait()
}

// Stop closes the instance if it is running.
func (n *Node) Stop() {
	if n.Server == nil {
		return
	}
	n.Server.Close()
	n.Server = nil
	synctest.Wait()
}

// Pause stops the instance's network as SIGSTOP does: its sockets are open and nothing answers.
func (n *Node) Pause() { n.system.Net.Pause(n.Name) }

// Resume ends a Pause.
func (n *Node) Resume() { n.system.Net.Resume(n.Name) }

// Verify checks a stopped instance's journal (G3, G4).
func (n *Node) Verify() {
	n.system.TB.Helper()
	if _, err := journals.Verify(n.FS, n.Config.Data); err != nil {
		n.system.TB.Errorf("journal of %s: %v", n.Name, err)
	}
}

// Stored returns the messages in a stopped instance's journal, per publisher in
// journal order, each as "sequence:body".
func (n *Node) Stored() map[uint64][]string {
	n.system.TB.Helper()
	stored := make(map[uint64][]string)
	n.eachRecord(func(r *journal.Record) {
		if r.Kind == journal.Message {
			stored[r.Publisher] = append(stored[r.Publisher], fmt.Sprintf("%d:%s", r.Sequence, r.Body))
		}
	})
	return stored
}

// Bodies returns the bodies in a stopped instance's journal, in its order.
func (n *Node) Bodies() []string {
	n.system.TB.Helper()
	var bodies []string
	n.eachRecord(func(r *journal.Record) {
		if r.Kind == journal.Message {
			bodies = append(bodies, string(r.Body))
		}
	})
	return bodies
}

func (n *Node) eachRecord(f func(*journal.Record)) {
	n.system.TB.Helper()
	err := journals.Dump(n.FS, n.Config.Data, func(r *journal.Record) error {
		f(r)
		return nil
	})
	if err != nil {
		n.system.TB.Errorf("read the journal of %s: %v", n.Name, err)
	}
}

package client_test

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/testkit/memnet"
	"github.com/holdfast-mq/holdfast/internal/wire"
	"github.com/holdfast-mq/holdfast/pubstore"
)

func TestDialReturnsAfterTheFirstLogon(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		cfg := config(n, "a", "b")
		cfg.StartOffline = false
		ctx, cancel := context.WithTimeout(t.Context(), 7*time.Second)
		defer cancel()
		srv := listen(t, n, "b")
		go func() {
			for { // refuse every logon
				select {
				case ss := <-srv.sessions:
					ss.expect(wire.Logon)
					ss.ack(wire.AckMessage{CommandID: "0", ClientName: "me", Type: wire.AckProcessed, Reason: "auth failure"})
				case <-t.Context().Done():
					return
				}
			}
		}()
		_, err := client.Dial(ctx, cfg)
		var refused *client.CommandError
		var connect *client.ConnectError
		if !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &connect) || !errors.As(err, &refused) || refused.Reason != "auth failure" {
			t.Fatalf("got %v", err)
		}
		for _, host := range []string{"tcp://a:9007", "tcp://b:9007"} {
			if !strings.Contains(err.Error(), host) {
				t.Errorf("the error does not name %s: %v", host, err)
			}
		}
	})
}

func TestStates(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		var states []client.State
		var connected []string
		cfg := config(n, "a")
		cfg.Hooks.StateChanged = func(s client.State) { states = append(states, s) }
		cfg.Hooks.Connected = func(i client.ServerInfo) { connected = append(connected, i.Server) }
		c := start(t, cfg)
		ss, _ := srv.logon(0, 0)
		sub := subscribe(t, c, client.From(client.Epoch))
		ss.acceptSubscribe("0")
		must(t, sub)
		synctest.Wait()
		if s := c.Stats(); s.State != client.StateLive || s.Server.MaxMessage != limit || !s.Server.Extended {
			t.Errorf("stats %+v", s)
		}
		time.Sleep(10 * time.Second) // the connection is stable, so there is no delay before the next attempt
		ss.close()
		ss, _ = srv.logon(0, 0)
		m := ss.expect(wire.Subscribe)
		synctest.Wait()
		if s := c.Stats().State; s != client.StateRecovering {
			t.Errorf("%v before the subscription is taken up, want recovering", s)
		}
		ss.ack(wire.AckMessage{CommandID: string(m.CommandID), Type: wire.AckProcessed, Success: true})
		synctest.Wait()
		c.Close()
		want := []client.State{client.StateConnecting, client.StateRecovering, client.StateLive, client.StateConnecting, client.StateRecovering, client.StateLive, client.StateClosed}
		if !slices.Equal(states, want) || len(connected) != 2 {
			t.Errorf("states %v, want %v; connected to %v", states, want, connected)
		}
		if s := fmt.Sprint(client.StateWaiting); s != "waiting" {
			t.Error(s)
		}
	})
}

// The socket is open, but the server sends nothing (hard case 16).
func TestSilentServer(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		a, b := listen(t, n, "a"), listen(t, n, "b")
		var cause error
		cfg := config(n, "a", "b")
		cfg.Hooks.Disconnected = func(_ string, err error) { cause = err }
		c := start(t, cfg)
		sa, _ := a.logon(0, 0)
		publish(t, c, 1)
		sa.expectPublishes(1)
		synctest.Wait()
		time.Sleep(10 * time.Second) // idle, but alive
		began := time.Now()
		sa.stopHeartbeats()
		sb := b.accept()
		if d := time.Since(began); d > 3*time.Second {
			t.Errorf("found out after %v", d)
		}
		sb.expect(wire.Logon)
		sb.acceptLogon(0, 0)
		sb.expectPublishes(1)
		synctest.Wait()
		if !errors.Is(cause, client.ErrTimeout) {
			t.Errorf("lost because of %v", cause)
		}
	})
}

// An idle client sends a heartbeat in every interval.
func TestHeartbeats(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		ln, err := n.Listen("a:9007")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		cfg := config(n, "a")
		cfg.HeartbeatInterval = 3 * time.Second
		start(t, cfg)
		nc, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		r := wire.NewReader(nc, 1<<20)
		next := func() wire.Message {
			f, err := r.Next()
			var m wire.Message
			if err == nil {
				err = wire.Parse(slices.Clone(f), &m)
			}
			if err != nil {
				t.Fatal(err)
			}
			return m
		}
		next()
		w := wire.AckMessage{CommandID: "0", ClientName: "me", Type: wire.AckProcessed, Success: true, HasSequence: true, Ext: true, Max: limit}
		nc.Write(w.AppendTo(nil))
		if m := next(); string(m.Options) != "start,3" {
			t.Errorf("options %q", m.Options)
		}
		last := time.Now()
		for range 5 {
			var h wire.HeartbeatCommand
			nc.Write(h.AppendTo(nil))
			m := next()
			if d := time.Since(last); m.Command != wire.Heartbeat || string(m.Options) != "beat" || d != 3*time.Second {
				t.Errorf("%v %q after %v", m.Command, m.Options, d)
			}
			last = time.Now()
		}
	})
}

// A large frame that arrives slowly counts as a sign of life.
func TestSlowFrameIsNotSilence(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		c := start(t, config(n, "a"))
		sub := subscribe(t, c, client.From(client.Epoch))
		ss, _ := srv.logon(0, 0)
		m := ss.acceptSubscribe("0")
		s := must(t, sub)
		ss.stopHeartbeats()
		d := wire.Delivery{Topic: m.Topic, SubIDs: m.SubID, Body: make([]byte, 10_000)}
		d.Bookmark = client.Bookmark{Publisher: 5, Sequence: 1}
		for part := range slices.Chunk(d.AppendTo(nil), 1000) {
			time.Sleep(1500 * time.Millisecond)
			ss.send(part)
		}
		read(t, s, 1)
	})
}

// A client whose name is in use waits longer each time, and never gives up (R11).
func TestNameInUse(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		c := start(t, config(n, "a"))
		publish(t, c, 1)
		began := time.Now()
		for i, seconds := range []time.Duration{0, 5, 15, 35, 75, 135, 195} {
			ss := srv.accept()
			if d, want := time.Since(began), seconds*time.Second; d != want {
				t.Errorf("logon %d after %v, want %v", i, d, want)
			}
			ss.expect(wire.Logon)
			if i == 1 {
				ss.acceptLogon(0, 0)
				ss.expectPublishes(1)
			}
			ss.refuse("name in use")
		}
		publish(t, c, 2)
		ss := srv.accept()
		ss.expect(wire.Logon)
		ss.acceptLogon(1, 1)
		ss.expectPublishes(1, 2) // the name was contested, so sent messages are compared again
		ss.persisted(2)
		if err := c.Flush(testContext(t)); err != nil {
			t.Error(err)
		}
	})
}

// A store of another client name ends the client at once.
func TestNameMismatch(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		listen(t, n, "a")
		cfg := config(n, "a")
		cfg.PublishStore = pubstore.NewMemory(pubstore.MemoryOptions{})
		if _, err := cfg.PublishStore.Logon("somebody else"); err != nil {
			t.Fatal(err)
		}
		cfg.StartOffline = false
		if _, err := client.Dial(t.Context(), cfg); !errors.Is(err, pubstore.ErrNameMismatch) {
			t.Errorf("got %v", err)
		}
	})
}

func TestChallenge(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		var asked []client.Challenge
		cfg := config(n, "a")
		cfg.Credentials = func(_ context.Context, ch client.Challenge) (string, string, error) {
			if asked = append(asked, ch); len(asked) == 1 {
				return "", "", errors.New("not now")
			}
			return "joe", "answer to " + ch.Text, nil
		}
		c := start(t, cfg)
		srv.accept().expectClosed() // no credentials: no logon, another attempt
		ss := srv.accept()
		if m := ss.expect(wire.Logon); string(m.UserID) != "joe" {
			t.Errorf("user %q", m.UserID)
		}
		ss.sendHeader(`{"c":"ack","cid":"0","a":"processed","status":"retry","user_id":"joe","pw":"nonce"}`, "")
		if m := ss.expect(wire.Logon); string(m.Password) != "answer to nonce" {
			t.Errorf("password %q", m.Password)
		}
		ss.acceptLogon(0, 0)
		publish(t, c, 1)
		ss.expectPublishes(1)
		synctest.Wait()
		if len(asked) != 3 || asked[2].User != "joe" || asked[0].Server != "tcp://a:9007/amps/json" {
			t.Errorf("asked %+v", asked)
		}
	})
}

func TestCredentialsOfTheURI(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		cfg := config(n)
		cfg.Servers = []string{"tcp://joe:s3cret@a:9007/amps/fix"}
		c := start(t, cfg)
		ss := srv.accept()
		if m := ss.expect(wire.Logon); string(m.UserID) != "joe" || string(m.Password) != "s3cret" || string(m.MessageType) != "fix" {
			t.Errorf("%+v", m)
		}
		ss.close()
		srv.accept()
		if s := fmt.Sprintf("%+v", c.Stats()); strings.Contains(s, "s3cret") {
			t.Errorf("stats show the password: %s", s)
		}
	})
}

// The client leaves a server that sends garbage or nothing.
func TestBadServers(t *testing.T) {
	for name, answer := range map[string]func(*session){
		"nothing":      func(*session) {},
		"not a frame":  func(ss *session) { ss.send([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")) },
		"not a header": func(ss *session) { ss.send([]byte{0, 0, 0, 3, 'x', 'y', 'z'}) },
		"endless challenges": func(ss *session) {
			for range 10 {
				ss.sendHeader(`{"c":"ack","cid":"0","a":"processed","status":"retry"}`, "")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T, n *memnet.Network) {
				a, b := listen(t, n, "a"), listen(t, n, "b")
				c := start(t, config(n, "a", "b"))
				sa := a.accept()
				sa.stopHeartbeats()
				sa.expect(wire.Logon)
				answer(sa)
				sb, _ := b.logon(0, 0)
				publish(t, c, 1)
				sb.expectPublishes(1)
			})
		})
	}
}

// A host that swallows packets costs one dial timeout.
func TestDialTimeout(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		listen(t, n, "a")
		b := listen(t, n, "b")
		n.Cut("", "a")
		began := time.Now()
		start(t, config(n, "a", "b"))
		b.logon(0, 0)
		if d := time.Since(began); d != 5*time.Second {
			t.Errorf("went on after %v, want 5s", d)
		}
	})
}

// Close ends every waiting call, each with one error.
func TestClose(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		c := start(t, config(n, "a"))
		sub := subscribe(t, c, client.From(client.Epoch))
		ss, _ := srv.logon(0, 0)
		m := ss.acceptSubscribe("0")
		s := must(t, sub)
		publish(t, c, 1)
		ended := make(chan error, 10)
		go func() { ended <- c.Flush(context.Background()) }()
		go func() {
			var last error
			for _, err := range s.Messages(context.Background()) {
				last = err
			}
			ended <- last
		}()
		go func() {
			_, err := c.Subscribe(context.Background(), "other")
			ended <- err
		}()
		go func() {
			var last error
			for _, err := range c.Execute(context.Background(), client.Command{Name: "sow", Topic: "orders"}) {
				last = err
			}
			ended <- last
		}()
		synctest.Wait()
		_ = m
		for range 2 {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
		for range 4 {
			if err := <-ended; !errors.Is(err, client.ErrClosed) {
				t.Errorf("ended with %v", err)
			}
		}
		if _, err := c.Publish(t.Context(), "orders", nil); !errors.Is(err, client.ErrClosed) {
			t.Errorf("publish: %v", err)
		}
		if _, err := c.Subscribe(testContext(t), "orders"); !errors.Is(err, client.ErrClosed) {
			t.Errorf("subscribe: %v", err)
		}
		if err := c.RenewLife(); !errors.Is(err, client.ErrClosed) {
			t.Errorf("renew: %v", err)
		}
		if err := c.Drain(testContext(t)); err != nil {
			t.Errorf("drain after close: %v", err)
		}
		if c.Stats().State != client.StateClosed {
			t.Error(c.Stats().State)
		}
	})
}

// Drain finishes handlers, discards and publishes.
func TestDrain(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		c := start(t, config(n, "a"))
		sub := subscribe(t, c, client.From(client.Epoch))
		ss, _ := srv.logon(0, 0)
		m := ss.acceptSubscribe("0")
		s := must(t, sub)
		publish(t, c, 1)
		ss.expectPublishes(1)
		ss.deliver(m, 1, 2, 3)
		handled := 0
		loop := make(chan error, 1)
		go func() {
			loop <- s.Handle(context.Background(), func(*client.Message) error {
				time.Sleep(time.Second)
				handled++
				return nil
			})
		}()
		synctest.Wait()
		drained := make(chan error, 1)
		go func() { drained <- c.Drain(testContext(t)) }()
		ss.expect(wire.Unsubscribe)
		if _, err := c.Publish(t.Context(), "orders", nil); !errors.Is(err, client.ErrClosed) {
			t.Errorf("publish: %v", err)
		}
		if err := <-loop; err != nil || handled != 3 {
			t.Errorf("loop ended with %v after %d messages", err, handled)
		}
		synctest.Wait()
		if len(drained) > 0 {
			t.Fatal("drained with a message outstanding")
		}
		ss.persisted(1)
		if err := <-drained; err != nil {
			t.Error(err)
		}
	})
}

func TestDrainGivesUp(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		c := start(t, config(n, "a"))
		publish(t, c, 1, 2)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var pending *client.PendingError
		if err := c.Drain(ctx); !errors.As(err, &pending) || pending.Messages != 2 || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if c.Stats().State != client.StateClosed {
			t.Error(c.Stats().State)
		}
	})
}

func TestExecute(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		c := start(t, config(n, "a"))
		var got []string
		done := make(chan struct{})
		go func() {
			defer close(done)
			cmd := client.Command{Name: "sow", Topic: "orders", Filter: "/id > 0", OrderBy: "/id", BatchSize: 10, TopN: 3}
			for r, err := range c.Execute(testContext(t), cmd) {
				if err != nil {
					got = append(got, err.Error())
					return
				}
				got = append(got, fmt.Sprint(int(r.Kind), r.AckType, string(r.Body), r.SOWKey))
			}
		}()
		ss, _ := srv.logon(0, 0)
		m := ss.expect(wire.SOW)
		if m.BatchSize != 10 || m.TopN != 3 || string(m.OrderBy) != "/id" || m.Acks != wire.AckProcessed|wire.AckCompleted {
			t.Errorf("%+v", m)
		}
		id := string(m.QueryID)
		frame := func(text string) { ss.send(append([]byte{0, 0, 0, byte(len(text))}, text...)) }
		ss.ack(wire.AckMessage{CommandID: id, Type: wire.AckProcessed, Success: true})
		frame(`{"c":"group_begin","query_id":"` + id + `"}`)
		frame(`{"c":"sow","query_id":"` + id + `","t":"orders","bs":2}{"k":"1","l":2}aa{"k":"2","l":1}b`)
		frame(`{"c":"group_end","query_id":"` + id + `"}`)
		ss.ack(wire.AckMessage{CommandID: id, Type: wire.AckCompleted, Success: true})
		<-done
		want := []string{"0processed", "4", "1aa1", "1b2", "5", "0completed"}
		for i := range want {
			if i >= len(got) || strings.ReplaceAll(got[i], " ", "") != want[i] {
				t.Fatalf("replies %q, want %q", got, want)
			}
		}
	})
}

func TestExecuteEnds(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		c := start(t, config(n, "a"))
		ss, _ := srv.logon(0, 0)
		execute := func(name string) <-chan error {
			last := make(chan error, 1)
			go func() {
				var err error
				for _, err = range c.Execute(testContext(t), client.Command{Name: name, Topic: "orders"}) {
				}
				last <- err
			}()
			return last
		}
		for _, name := range []string{"publish", "logon", "nonsense", ""} {
			if err := <-execute(name); err == nil {
				t.Errorf("%q was executed", name)
			}
		}
		refused := execute("sow_delete")
		m := ss.expect(wire.SOWDelete)
		ss.ack(wire.AckMessage{CommandID: string(m.CommandID), Type: wire.AckProcessed, Reason: "not offered"})
		var command *client.CommandError
		if err := <-refused; !errors.As(err, &command) || command.Reason != "not offered" {
			t.Errorf("refused: %v", err)
		}
		if err := <-execute("sow"); !errors.Is(err, client.ErrTimeout) {
			t.Errorf("no answer: %v", err)
		}
		ss.expect(wire.SOW)
		ss.expect(wire.Unsubscribe)

		// The subscription of a command ends when its loop is left.
		left := make(chan int)
		go func() {
			count := 0
			for r := range c.Execute(testContext(t), client.Command{Name: "delta_subscribe", Topic: "orders"}) {
				if r.Kind == client.ReplyMessage {
					if count++; count == 2 {
						break
					}
				}
			}
			left <- count
		}()
		m = ss.expect(wire.DeltaSubscribe)
		ss.deliver(m, 1, 2, 3)
		<-left
		ss.expect(wire.Unsubscribe)

		lost := execute("sow_and_subscribe")
		ss.expect(wire.SOWAndSubscribe)
		ss.close()
		if err := <-lost; !errors.Is(err, client.ErrDisconnected) {
			t.Errorf("lost: %v", err)
		}
	})
}

// The client goes back to the preferred server as soon as that can be reached.
func TestPriority(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		b := listen(t, n, "b")
		cfg := config(n)
		cfg.Chooser = client.NewPriority(client.FailBackAtOnce(), "tcp://a:9007/amps/json", "tcp://b:9007/amps/json")
		c := start(t, cfg)
		sb, _ := b.logon(0, 0)
		sb.expectNothing(35 * time.Second)
		publish(t, c, 1)
		sb.expectPublishes(1)
		a := listen(t, n, "a")
		sb.expectClosed()
		a.accept() // the probe
		sa, _ := a.logon(0, 0)
		sa.expectPublishes(1)
		sa.expectNothing(time.Minute)
	})
}

// noChoice is a chooser that always fails.
type noChoice struct{}

func (noChoice) Next(context.Context, client.Outcome) (client.Choice, error) {
	return client.Choice{Delay: 5 * time.Second}, errors.New("nothing today")
}

// The client calls a failing chooser again, and hooks report it.
func TestFailingChooser(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		failures := 0
		cfg := config(n)
		cfg.Chooser = noChoice{}
		cfg.Hooks.Disconnected = func(string, error) { failures++ }
		start(t, cfg)
		time.Sleep(time.Minute)
		synctest.Wait()
		if failures < 10 || failures > 13 {
			t.Errorf("asked %d times in a minute", failures)
		}
	})
}

// The dependencies of an application that imports the client are limited.
func TestDependencies(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".").Output()
	if err != nil {
		t.Skipf("go list: %v", err)
	}
	allowed := []string{
		"github.com/holdfast-mq/holdfast/",
		"go.etcd.io/bbolt",
		"github.com/vmihailenco/",
		"github.com/nats-io/nuid",
		"github.com/cenkalti/backoff/v4",
		"golang.org/x/sys",
	}
	for dep := range strings.FieldsSeq(string(out)) {
		if !slices.ContainsFunc(allowed, func(a string) bool { return strings.HasPrefix(dep, a) }) {
			t.Errorf("client depends on %s", dep)
		}
		if strings.HasPrefix(dep, "github.com/holdfast-mq/holdfast/server") {
			t.Errorf("client depends on the server: %s", dep)
		}
	}
}

// The client leaves a server that does not answer a resumed subscription.
func TestRecoveryTimeout(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		a, b := listen(t, n, "a"), listen(t, n, "b")
		c := start(t, config(n, "a", "b"))
		sub := subscribe(t, c, client.From(client.Epoch))
		sa, _ := a.logon(0, 0)
		sa.acceptSubscribe("0")
		must(t, sub)
		sa.close()
		sb, _ := b.logon(0, 0)
		sb.expect(wire.Subscribe)
		began := time.Now()
		sb.expectClosed()
		if d := time.Since(began); d != time.Minute {
			t.Errorf("given up after %v, want 1m", d)
		}
		sa, _ = a.logon(0, 0)
		sa.acceptSubscribe("")
		synctest.Wait()
		if s := c.Stats(); s.State != client.StateLive || s.Logons != 3 {
			t.Errorf("stats %+v", s)
		}
	})
}

// Many goroutines use the client over connections that break. Every publish arrives, in order, and
// no call hangs. The test is also for the race detector.
func TestManyAtOnce(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		cfg := config(n, "a")
		cfg.WindowMessages = 16
		c := start(t, cfg)
		var have uint64
		stop := make(chan struct{})
		served := make(chan struct{})
		go func() {
			defer close(served)
			for {
				select {
				case ss := <-srv.sessions:
					have = serveUntilCut(ss, have)
				case <-stop:
					return
				}
			}
		}()
		const workers, each = 10, 30
		done := make(chan error, workers)
		for range workers {
			go func() {
				var err error
				for range each {
					if _, err = c.Publish(testContext(t), "orders", []byte("x")); err != nil {
						break
					}
					if err = c.Flush(testContext(t)); err != nil {
						break
					}
					c.Stats()
				}
				done <- err
			}()
		}
		for range workers {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if err := c.Drain(testContext(t)); err != nil {
			t.Error(err)
		}
		close(stop)
		<-served
		if have != workers*each {
			t.Errorf("the server has %d messages, want %d", have, workers*each)
		}
	})
}

// serveUntilCut serves the client and cuts the connection after 7 new messages.
func serveUntilCut(ss *session, have uint64) uint64 {
	defer ss.close()
	cut := have + 7
	for m := range ss.frames {
		switch m.Command {
		case wire.Logon:
			ss.acceptLogon(have, have)
		case wire.Publish:
			if m.Sequence > have+1 {
				ss.t.Errorf("message %d after %d: a hole", m.Sequence, have)
			}
			have = max(have, m.Sequence)
			if have >= cut && have%2 == 0 { // sometimes after the ack, sometimes before
				return have
			}
			ss.persisted(have)
			if have >= cut {
				return have
			}
		}
	}
	return have
}

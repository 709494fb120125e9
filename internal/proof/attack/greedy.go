package main

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// A greedyAttacker attacker wants an instance to spend memory, descriptors or its processor on
// it. Each runs as a process of its own that takes half a core.
type greedyAttacker struct {
	name      string
	role      string // of a secured pair
	manyConns bool   // connections: they may cost more memory than one
	// floods says that it publishes as much as it can. The pair of -exhaust has no users, and without
	// users nothing limits its bytes per second, so its effect on others is reported, not judged. That
	// of the floods of -secured, whose users have limits, is judged.
	floods bool
	atStop bool // of a secured pair: it is at work while the instance stops
	// tolerated is the 99th percentile of others that the attack may cause, if it is above that which
	// others may have.
	tolerated time.Duration
	// run attacks until a connection fails; it calls ready when the attack has begun.
	run func(t target, ready func()) error
}

// A target is an instance that is attacked.
type target struct {
	clients, links string      // addresses
	authority      string      // of a secured pair: the file with the certificate of its authority
	trust          *tls.Config // that trusts it
	life           string      // of a secured pair: the life of an honest publisher that is away
	role           string      // of the attacker
}

// greedyAttackers are the attackers. The first one attacks no instance: it shows the
// effect of half a busy core on the others on this machine.
var greedyAttackers = []greedyAttacker{
	{name: "half a core", run: spin},
	{name: "half a frame", run: halfFrame},
	{name: "long ids", run: longIDs},
	{name: "acks that wait", run: unreadAcks},
	{name: "subscribe and unsubscribe", run: churn},
	{name: "all from the beginning", run: fromEpoch},
	{name: "a million publishers", run: longVector},
	{name: "costly patterns", run: costlyPatterns},
	{name: "long lists", run: longLists},
	{name: "silent connections", run: silent, manyConns: true},
	{name: "trickling links", run: trickle, manyConns: true},
	{name: "idle subscribers", run: idle, manyConns: true},
	{name: "flood of publishes", run: flood, floods: true},
}

// attackersNamed returns those whose names contain a text.
func attackersNamed(all []greedyAttacker, text string) (named []greedyAttacker) {
	for _, g := range all {
		if strings.Contains(g.name, text) {
			named = append(named, g)
		}
	}
	return named
}

// processStart is when the process has.
var processStart = time.Now()

// runGreedyAttacker is the process of one attacker, until its standard input ends.
func runGreedyAttacker(name string, t target) (code int) {
	runtime.GOMAXPROCS(1)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // ends with the process that started this one
		fmt.Println(results)
		os.Exit(0)
	}()
	greedyAttackers := slices.Concat(greedyAttackers, securedAttackers)
	i := slices.IndexFunc(greedyAttackers, func(g greedyAttacker) bool { return g.name == name })
	if i < 0 {
		fmt.Fprintf(os.Stderr, "attack: there is no attacker %q\n", name)
		return 2
	}
	if t.authority != "" {
		var err error
		if t.trust, err = trusting(t.authority); err != nil {
			fmt.Fprintln(os.Stderr, "attack:", err)
			return 2
		}
	}
	t.role = greedyAttackers[i].role
	ready := sync.OnceFunc(func() { fmt.Println("ready") })
	for { // one that is cut off comes again
		err := greedyAttackers[i].run(t, ready)
		ready()
		results.addError(err)
		fmt.Fprintln(os.Stderr, name+":", err)
		restToHalfCore()
		time.Sleep(50 * time.Millisecond)
	}
}

// A deaf client sends and reads nothing.
type deaf struct{ *raw }

// dialDeaf logs on, from an address unless that is nil. Frames that come after the answer
// are not read.
func dialDeaf(t target, from net.IP) (*deaf, error) {
	user := ""
	if t.trust != nil {
		user, from = noisyUser, t.address(0)
	}
	c, err := t.dial(from)
	if err != nil {
		return nil, err
	}
	_, err = c.logOn(logon(user+fmt.Sprintf("-greedy-%x", rand.Uint64()), fmt.Sprintf("greedy-%x", rand.Uint64()), 1, 0, 0), user)
	if err == nil {
		err = c.SetDeadline(time.Time{})
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return &deaf{c}, nil
}

// sendPaced sends frames, and rests so that no more than half a core is taken.
func (c *deaf) sendPaced(frames ...frame) error {
	restToHalfCore()
	if err := c.SetWriteDeadline(time.Now().Add(time.Minute)); err != nil {
		return err
	}
	return c.send(frames...)
}

// withDeafClient has one deaf client at work.
func withDeafClient(t target, work func(c *deaf) error) error {
	c, err := dialDeaf(t, nil)
	if err != nil {
		return err
	}
	defer c.Close()
	return work(c)
}

// awaitClose waits until the server closes.
func (c *deaf) awaitClose() error {
	_, err := io.Copy(io.Discard, c.Conn)
	return err
}

const greedyTopic = "greed"

func subscribe(id, topic, at, options string) *wire.SubscribeCommand {
	return &wire.SubscribeCommand{Command: wire.Subscribe, CommandID: id, SubID: id, Topic: topic, Bookmark: at, Options: options}
}

// publishPause is how long a publishing attacker rests: it wants to cost much by the work
// for its messages, not by their number, which honest publishers may have, too.
const publishPause = time.Millisecond

func spin(_ target, ready func()) error {
	ready()
	for {
		for range 1 << 16 {
			_ = rand.Uint64()
		}
		restToHalfCore()
	}
}

func halfFrame(t target, ready func()) error {
	return withDeafClient(t, func(c *deaf) error {
		b := publish(greedyTopic, 1, strings.Repeat("x", 1<<20-200)).AppendTo(nil)
		if _, err := c.Write(b[:len(b)-1]); err != nil {
			return err
		}
		ready()
		return c.awaitClose()
	})
}

func longIDs(t target, ready func()) error {
	return withDeafClient(t, func(c *deaf) error {
		for n := range 3000 {
			if err := c.sendPaced(subscribe(fmt.Sprintf("%0256d", n), greedyTopic, "", "")); err != nil {
				return err
			}
		}
		ready()
		for {
			if err := c.sendPaced(&wire.PublishCommand{Topic: greedyTopic, Body: []byte("x")}); err != nil {
				return err
			}
			time.Sleep(publishPause)
		}
	})
}

func unreadAcks(t target, ready func()) error {
	return withDeafClient(t, func(c *deaf) error {
		id := strings.Repeat("i", 256)
		p := &wire.PublishCommand{Topic: greedyTopic, CommandID: id, Acks: wire.AckPersisted | wire.AckProcessed, Body: []byte("x")}
		ready()
		for {
			if err := c.sendPaced(p, p, p, p, &wire.FlushCommand{CommandID: id, Acks: wire.AckPersisted}); err != nil {
				return err
			}
		}
	})
}

func churn(t target, ready func()) error {
	return withDeafClient(t, func(c *deaf) error {
		ready()
		for n := 0; ; n++ {
			id := fmt.Sprintf("%0250d", n)
			if err := c.sendPaced(subscribe(id, topic, "0", "vector"), &wire.UnsubscribeCommand{CommandID: id, SubID: id}); err != nil {
				return err
			}
		}
	})
}

func fromEpoch(t target, ready func()) error {
	return withDeafClient(t, func(c *deaf) error {
		for range 4 {
			if err := c.sendPaced(&wire.PublishCommand{Topic: greedyTopic, Body: bytes.Repeat([]byte("x"), 1_000_000)}); err != nil {
				return err
			}
		}
		for n := range 1000 {
			if err := c.sendPaced(subscribe(fmt.Sprint(n), greedyTopic, "0", "fully_durable")); err != nil {
				return err
			}
		}
		ready()
		time.Sleep(10 * time.Second)
		return nil
	})
}

func longVector(t target, ready func()) error {
	var v []byte
	for n := range uint64(1_000_000) {
		v = append(bookmark.Bookmark{Publisher: n<<20 | 1, Sequence: 1}.AppendText(v), ',')
	}
	at := string(v[:len(v)-1])
	return withDeafClient(t, func(c *deaf) error {
		ready()
		for {
			s := subscribe("1", greedyTopic, at, "vector,replace")
			s.InParts = true
			if err := c.sendPaced(s); err != nil {
				return err
			}
		}
	})
}

func costlyPatterns(t target, ready func()) error {
	return withDeafClient(t, func(c *deaf) error {
		for n := range 1000 {
			text := fmt.Sprintf("(%s){2}x%d", strings.Repeat("a?", 900), n%10)
			if err := c.sendPaced(subscribe(fmt.Sprint(n), text, "", "")); err != nil {
				return err
			}
		}
		ready()
		for n := 0; ; n++ {
			if err := c.sendPaced(&wire.PublishCommand{Topic: fmt.Sprintf("%d%s", n, strings.Repeat("a", 240)), Body: []byte("x")}); err != nil {
				return err
			}
			time.Sleep(publishPause)
		}
	})
}

func longLists(t target, ready func()) error {
	return withDeafClient(t, func(c *deaf) error {
		ready()
		for n := 0; ; n++ {
			list := make([]string, 1000)
			if n%2 == 0 {
				list = make([]string, 100_000)
			}
			for i := range list {
				list[i] = bookmark.Bookmark{Publisher: rand.Uint64() >> 1, Sequence: 1}.String()
			}
			if err := c.sendPaced(subscribe(fmt.Sprint(n%900), topic, strings.Join(list, ","), "replace")); err != nil {
				return err
			}
		}
	})
}

// silent holds as many connections as it can that say nothing.
func silent(t target, ready func()) error {
	var held []net.Conn
	for {
		c, err := net.DialTimeout("tcp", t.clients, time.Second)
		if err == nil {
			held = append(held, c)
		}
		if len(held) > 1000 {
			ready()
			held[0].Close()
			held = held[1:]
		}
		restToHalfCore()
	}
}

// trickle holds connections to the replication port that say a byte now and then.
func trickle(t target, ready func()) error {
	var held []net.Conn
	for {
		c, err := net.DialTimeout("tcp", t.links, time.Second)
		if err == nil {
			held = append(held, c)
		}
		if len(held) > 200 {
			ready()
			_, _ = held[rand.IntN(len(held))].Write([]byte{0}) // it may be cut off
			held[0].Close()
			held = held[1:]
		}
		restToHalfCore()
	}
}

// idleSubscribers is the number of subscribers to other topics. They come from several
// addresses, since the number of connections from one is limited.
const (
	idleSubscribers = 5000
	idlePerAddress  = 2000
)

func idle(t target, ready func()) error {
	for n := range idleSubscribers {
		c, err := dialDeaf(t, net.IPv4(127, 0, 0, byte(2+n/idlePerAddress)))
		if err != nil {
			return err
		}
		defer c.Close()
		if err := c.sendPaced(subscribe("1", fmt.Sprint("idle-", n), "", "")); err != nil {
			return err
		}
		restToHalfCore()
	}
	ready()
	time.Sleep(time.Minute)
	return nil
}

func flood(t target, ready func()) error {
	return withDeafClient(t, func(c *deaf) error {
		go func() { _, _ = io.Copy(io.Discard, c.Conn) }() // ends with the connection
		ready()
		body := strings.Repeat("x", 10_000)
		for n := uint64(1); ; n++ {
			if err := c.sendPaced(publish(greedyTopic, n, body)); err != nil {
				return err
			}
			results.add("messages of 10 kB sent")
		}
	})
}

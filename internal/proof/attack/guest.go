package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/record"
	"github.com/holdfast-mq/holdfast/internal/testkit/forge"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// newLife returns the name of a client of a user, and the life of a new store.
func newLife(user string) (name, life string) {
	life = fmt.Sprintf("%s-%x", user, rand.Uint64())
	return life, life
}

// logOnAs logs on as a user under a new life and returns the identity of its publisher.
func (t target) logOnAs(user string) (c *raw, publisher bookmark.Identity, err error) {
	name, life := newLife(user)
	if c, err = t.dial(t.address(0)); err != nil {
		return nil, publisher, err
	}
	if _, err = c.logOn(logon(name, life, 1, 0, 0), user); err == nil {
		err = c.SetDeadline(time.Time{})
	}
	if err != nil {
		c.Close()
		return nil, publisher, err
	}
	return c, bookmark.IdentityOfLife(life), nil
}

// A batch has messages of one publisher, from a number on.
type batch struct {
	publisher uint64
	first     uint64
	topic     string
	body      string
	user      string // in the records, which is forged; empty: none
	count     int
}

// AppendTo appends the frame.
func (b batch) AppendTo(dst []byte) []byte {
	start := len(dst)
	dst = wire.BeginBatch(dst)
	for n := range uint64(b.count) {
		r := record.Record{
			Kind: record.Message, Publisher: b.publisher, Sequence: b.first + n, Prev: b.first + n - 1,
			Topic: []byte(b.topic), Body: []byte(b.body), User: []byte(b.user),
		}
		raw, err := record.Append(nil, &r)
		if err != nil {
			panic(err) // the fields are those of the attackers
		}
		dst = record.AppendFramed(dst, raw)
	}
	wire.EndBatch(dst, start)
	return dst
}

// countAnswers counts the failures that come, until the connection ends. Deliveries must not come.
func (c *raw) countAnswers() error {
	for {
		b, err := c.r.Next()
		if err != nil {
			return err
		}
		m := new(wire.Message)
		switch err := wire.Parse(b, m); {
		case err != nil:
			return err
		case m.Failed():
			results.add(string(m.Reason))
		case m.Command != wire.Ack && m.Command != wire.Heartbeat:
			results.forbid("deliveries")
		}
	}
}

// foreignTopics are topics that guestUser may not publish to and not subscribe to.
var foreignTopics = []string{topic, quotes, greedyTopic, "warm", "guest", "/AMPS/SOWStats", "/AMPS", "^" + topic, topic + "/x", "é", " "}

// publishForbidden publishes to all topics, in every form that a publish can have.
func publishForbidden(t target, ready func()) error {
	c, publisher, err := t.logOnAs(guestUser)
	if err != nil {
		return err
	}
	defer c.Close()
	answered := make(chan error, 1)
	go func() { answered <- c.countAnswers() }()
	ready()
	for n := uint64(1); ; n += 4 {
		where := foreignTopics[rand.IntN(len(foreignTopics))]
		sets := &wire.PublishCommand{Topic: where, CommandID: "1", Acks: wire.AckPersisted | wire.AckProcessed, Body: []byte(forbiddenBody)}
		err := c.send(
			batch{publisher: publisher.ID, first: n, topic: where, body: forbiddenBody, count: 3},
			publish(where, n+3, forbiddenBody), sets,
		)
		if err != nil {
			return <-answered
		}
		restToHalfCore()
	}
}

// subscribeForbidden subscribes to all topics, in every form, with our extensions and without.
func subscribeForbidden(t target, ready func()) error {
	name, life := newLife(guestUser)
	c, err := t.dial(t.address(0))
	if err != nil {
		return err
	}
	defer c.Close()
	l := logon(name, life, 1, 0, 0)
	l.Ext = rand.IntN(2) == 0
	if _, err := c.logOn(l, guestUser); err != nil {
		return err
	}
	if err := c.SetDeadline(time.Now().Add(time.Second)); err != nil { // then again
		return err
	}
	topics := append([]string{".*", "", "o", "^q", "(?i)QUOTES", "orders|quotes", "/AMPS/.*"}, foreignTopics...)
	places := []string{"", "0", "0|1|", "1|1|,0|1|", "20200101T000000"}
	options := []string{"", "replace", "vector", "vector,replace", "fully_durable", "live", "literal", "pause", "conflation=1s"}
	for n := range 500 {
		s := subscribe(fmt.Sprint(n%200), topics[rand.IntN(len(topics))], places[rand.IntN(len(places))], options[rand.IntN(len(options))])
		s.Acks = wire.AckProcessed | wire.AckCompleted
		if err := c.send(s); err != nil {
			return err
		}
	}
	ready()
	return c.countAnswers()
}

// forgeryOf returns attempts of a user to be taken for an honest publisher. Each must fail.
func forgeryOf(user string) func(t target, ready func()) error {
	return func(t target, ready func()) error {
		return t.storm(4, ready, func(from net.IP) {
			c, err := t.dial(from)
			if err != nil {
				results.addError(err)
				return
			}
			defer c.Close()
			attempt := forgeries[rand.IntN(len(forgeries))]
			results.mustRefuse(attempt.name, attempt.try(c, t, user))
		})
	}
}

// A forgery is an attempt of a user to be taken for an honest publisher.
type forgery struct {
	name string
	try  func(c *raw, t target, user string) error
}

var forgeries = []forgery{
	{"logon under the name of another", func(c *raw, _ target, user string) error {
		_, life := newLife(user)
		name := gatewayUser + "-1" // it is in use
		if rand.IntN(2) == 0 {
			name, _ = newLife(gatewayUser) // it is free
		}
		_, err := c.logOn(logon(name, life, 1, 0, 0), user)
		return err
	}},
	{"logon under the life of another", func(c *raw, t target, user string) error {
		name, _ := newLife(user)
		_, err := c.logOn(logon(name, t.life, 1<<40, 0, 1<<40), user)
		return err
	}},
	{"logon under a life that collides", func(c *raw, t target, user string) error {
		// The protocol's hash collides; the SDK's lives have another one, so that this is a new life.
		name, _ := newLife(user)
		err := c.logOnAndPublish(logon(name, forge.Name(user, t.life), 1, 0, 0), user)
		if err == nil {
			return refusal("a life of its own")
		}
		return err
	}},
	{"logon as the user of another", func(c *raw, _ target, user string) error {
		name, life := newLife(gatewayUser)
		l := logon(name, life, 1, 0, 0)
		l.UserID = gatewayUser
		if err := c.SetDeadline(time.Now().Add(impatience)); err != nil {
			return err
		}
		_, err := c.logOn(l, user)
		return err
	}},
	{"records of another publisher", func(c *raw, t target, user string) error {
		name, life := newLife(user)
		if _, err := c.logOn(logon(name, life, 1, 0, 0), user); err != nil {
			return err
		}
		return c.sendForbidden(batch{publisher: bookmark.IdentityOfLife(t.life).ID, first: 1, topic: quotes, body: forbiddenBody, count: 1})
	}},
	{"records of another user", func(c *raw, _ target, user string) error {
		name, life := newLife(user)
		if _, err := c.logOn(logon(name, life, 1, 0, 0), user); err != nil {
			return err
		}
		return c.sendForbidden(batch{publisher: bookmark.IdentityOfLife(life).ID, first: 1, topic: quotes, body: forbiddenBody, user: gatewayUser, count: 1})
	}},
}

// logOnAndPublish logs on and publishes a message that the user may not publish.
func (c *raw) logOnAndPublish(l *wire.LogonCommand, user string) error {
	m, err := c.logOn(l, user)
	if err != nil {
		return err
	}
	if err := c.send(publish(quotes, m.Have+1, forbiddenBody)); err != nil {
		return err
	}
	_, err = c.await(wire.AckPersisted)
	return err
}

// manySessions opens sessions until it is refused, and holds them.
func manySessions(user string) func(t target, ready func()) error {
	return func(t target, ready func()) error {
		var held []*raw
		defer func() {
			for _, c := range held {
				c.Close()
			}
		}()
		for n := 0; ; n++ {
			c, _, err := t.logOnAs(user)
			if err == nil {
				held = append(held, c)
				go func() { _, _ = io.Copy(io.Discard, c.Conn) }() // ends with the connection
			}
			if results.addError(err); err != nil || len(held) == attackerConnections {
				ready()
			}
			if len(held) > attackerConnections {
				results.forbid(fmt.Sprintf("more than %d sessions", attackerConnections))
			}
			restToHalfCore()
		}
	}
}

// manyPublishers publishes under new lives, on half of the sessions that the user may have: those
// that end count for a while.
func manyPublishers(user, topic, body string) func(t target, ready func()) error {
	return func(t target, ready func()) error {
		return t.storm(attackerConnections/2, ready, func(net.IP) {
			c, publisher, err := t.logOnAs(user)
			if err != nil {
				results.addError(err)
				return
			}
			defer c.Close()
			err = c.SetDeadline(time.Now().Add(time.Second))
			if err == nil {
				err = c.send(batch{publisher: publisher.ID, first: 1, topic: topic, body: body, count: 2})
			}
			if err == nil {
				_, err = c.await(wire.AckPersisted)
			}
			if results.addError(err); err == nil {
				results.add("publishers with messages")
			}
		})
	}
}

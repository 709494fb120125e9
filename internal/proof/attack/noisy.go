package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
)

// The roles of the attackers of a secured pair.
const (
	nobody = "nobody"
	guest  = "guest"
	noisy  = "noisy"
)

// securedAttackers are the attackers of a secured pair. The first one attacks no instance. Those
// that use up what their user may have come last.
var securedAttackers = []greedyAttacker{
	{role: "-", name: "half a core", run: spin},
	{role: nobody, name: "wrong passwords", atStop: true, run: stormLogons(32, "logged on with a wrong password", wrongPassword)},
	{role: nobody, name: "wrong proofs", run: stormLogons(32, "logged on with a wrong proof", wrongProof)},
	{role: nobody, name: "challenges without end", run: stormLogons(32, "logged on without a proof", endlessChallenges)},
	{role: nobody, name: "no credentials", atStop: true, run: stormLogons(16, "served without credentials", noCredentials)},
	{role: nobody, name: "plain client at the TLS port", run: plainClient},
	{role: nobody, name: "TLS garbage", run: garbage},
	// Each of them, 2,000 a second, costs the instance a key exchange. In 14 runs others had 43 to 112 ms, 66 at the
	// median; an attack that is too slow is tried up to three times.
	{role: nobody, name: "unfinished handshakes", atStop: true, tolerated: 100 * time.Millisecond, run: unfinished},
	{role: nobody, name: "many handshakes", run: handshakes},
	{role: nobody, name: "strangers on the links", run: strangeTLSLink},
	{role: guest, name: "publishes everything", run: publishForbidden},
	{role: guest, name: "subscribes everything", run: subscribeForbidden},
	{role: guest, name: "forged names and lives", run: forgeryOf(guestUser)},
	{role: guest, name: "flood of refused publishes", atStop: true, run: oneFrameEach(guestUser, "x", "f", refusedFrame)},
	{role: guest, name: "sessions of a guest", run: manySessions(guestUser)},
	{role: guest, name: "publishers of a guest", run: manyPublishers(guestUser, topic, forbiddenBody)},
	{role: noisy, name: "flood within the limit", run: floodWithin},
	{role: noisy, name: "flood above the limit", atStop: true, run: flood},
	{role: noisy, name: "flood of connections", run: oneFrameEach(noisyUser, greedyTopic, strings.Repeat("x", 10_000), 100)},
	{role: noisy, name: "all again from the beginning", run: fromEpoch},
	{role: noisy, name: "long vectors", run: longVector},
	{role: noisy, name: "costly patterns of a user", run: costlyPatterns},
	{role: noisy, name: "lives of others", run: forgeryOf(noisyUser)},
	{role: noisy, name: "sessions of a user", run: manySessions(noisyUser)},
	{role: noisy, name: "publishers of a user", run: manyPublishers(noisyUser, greedyTopic, "x")},
}

// refusedFrame is the number of messages in one frame of refused publishes.
const refusedFrame = 10_000

// oneFrameEach sends one frame with many messages on each connection, so that the user is not slowed
// down by its earlier frames.
func oneFrameEach(user, topic, body string, messages int) func(t target, ready func()) error {
	return func(t target, ready func()) error {
		name, life := newLife(user) // one publisher: their number is limited
		publisher := bookmark.IdentityOfLife(life).ID
		for counter := uint64(1); ; counter++ {
			c, err := t.dial(t.address(0))
			if err != nil {
				return err
			}
			m, err := c.logOn(logon(name, life, counter, 0, bookmark.MaxSequence), user)
			if err == nil {
				err = c.SetDeadline(time.Now().Add(impatience))
			}
			if err == nil {
				err = c.send(batch{publisher: publisher, first: m.Have + 1, topic: topic, body: body, count: messages})
			}
			if err == nil {
				results.add("frames")
				_ = c.countAnswers() // until the deadline
			}
			ready()
			results.addError(err)
			c.Close()
			restToHalfCore()
		}
	}
}

// floodWithin publishes nine tenths of the bytes per second that the user may publish.
func floodWithin(t target, ready func()) error {
	return withDeafClient(t, func(c *deaf) error {
		go func() { _, _ = io.Copy(io.Discard, c.Conn) }() // ends with the connection
		ready()
		const size = 10_000
		body := strings.Repeat("x", size)
		start, interval := time.Now(), time.Second*size*10/(9*noisyBytesPerSecond)
		for n := uint64(1); ; n++ {
			if err := c.sendPaced(publish(fmt.Sprint(greedyTopic, rand.IntN(100)), n, body)); err != nil {
				return err
			}
			results.add("messages of 10 kB sent")
			time.Sleep(time.Until(start.Add(time.Duration(n) * interval)))
		}
	})
}

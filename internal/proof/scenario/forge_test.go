package scenario_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/holdfast-mq/holdfast/internal/wire"
)

// forge sends an instance a logon and one message that no store sends, from a
// client of its own, and prints the answer: forge A as=pub number=7.
func (w *world) forge(c *command) string {
	w.TB.Helper()
	logon := wire.LogonCommand{CommandID: "logon", ClientName: "forger", Acks: wire.AckProcessed}
	if victim := c.option("as", ""); victim != "" {
		logon.Ext, logon.Store = true, w.app(victim).Store.Lives()[0].ID
		logon.Acked, logon.Last = c.large("acked"), c.large("last")
		if c.has("takes") {
			logon.Counter = 1 << 62
		}
	} else {
		logon.ClientName = c.option("plain", "")
	}
	publish := wire.PublishCommand{
		CommandID: "publish", Topic: c.option("topic", "orders"), Acks: wire.AckProcessed,
		Sequence: c.large("number"), Body: []byte("forged"),
	}
	answer, err := w.sendForged(c.name(0), &logon, &publish)
	if err != nil {
		c.fail("%v", err)
	}
	return answer
}

// large is an option that is a number of 64 bits; 0 if it is not there.
func (c *command) large(key string) uint64 {
	n, err := strconv.ParseUint(c.option(key, "0"), 10, 64)
	if err != nil {
		c.fail("%s: %v", key, err)
	}
	return n
}

// tell sends two commands, the second one when the first is accepted, and returns their
// outcome.
func (w *world) sendForged(instance string, logon *wire.LogonCommand, publish *wire.PublishCommand) (string, error) {
	conn, err := w.Net.Host("forger").Dial(context.Background(), instance+":9007")
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return "", err
	}
	if _, err := conn.Write(logon.AppendTo(nil)); err != nil {
		return "", err
	}
	r := wire.NewReader(conn, wire.MaxFrame)
	for {
		frame, err := r.Next()
		if errors.Is(err, io.EOF) {
			return "the connection is closed", nil
		}
		var m wire.Message
		if err == nil {
			err = wire.Parse(frame, &m)
		}
		switch success := string(m.Status) == wire.StatusSuccess; {
		case err != nil:
			return "", err
		case m.Command != wire.Ack || m.Acks != wire.AckProcessed:
		case !success:
			return "refused: " + string(m.Reason), nil
		case string(m.CommandID) == publish.CommandID:
			return fmt.Sprintf("%d is taken", publish.Sequence), nil
		default:
			if _, err := conn.Write(publish.AppendTo(nil)); err != nil {
				return "", err
			}
		}
	}
}

package main

import (
	"os"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/testkit/newer"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// Files of a newer version have an exit code of their own, and no command changes them.
func TestNewerVersion(t *testing.T) {
	d := newTestDir(t)
	d.journal("journal", journal.Record{Kind: journal.Message, Publisher: 1, Topic: []byte("orders")})
	outbox, err := pubstore.OpenFile(d.path("outbox"), unstaged)
	if err != nil {
		t.Fatal(err)
	}
	appendOrders(t, outbox, 1, 9)
	d.close(outbox)
	d.flip("outbox"+firstSegment, "order 5", 1, -1) // repair must not touch damage there either
	for _, name := range []string{"journal" + firstSegment, "outbox" + firstSegment} {
		b, err := os.ReadFile(d.path(name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(d.path(name), newer.Segment(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d.close(openBoltStore(t, d))
	d.change("outbox.db", func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte("publish")).Put([]byte("state"), append([]byte{0x97, 2}, make([]byte, 20)...))
	})
	for _, line := range []string{
		"journal verify journal", "journal dump journal",
		"store verify outbox", "store inspect outbox", "store export outbox", "store repair outbox", "store repair outbox --yes",
		"store verify outbox.db", "store repair outbox.db --yes",
	} {
		shown := d.holdfast(strings.Fields(line)...)
		if !strings.Contains(shown, "format version 2, but this program reads only versions up to 1") || !strings.Contains(shown, "[exit 5]") {
			t.Error(shown)
		}
	}
}

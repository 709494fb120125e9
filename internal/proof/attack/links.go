package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"path/filepath"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/replica"
	"github.com/holdfast-mq/holdfast/internal/seglog"
)

// strangeLink connects to an instance's replication port: with noise, or as an instance
// that would replicate messages that its victim never published.
func strangeLink(ctx context.Context, b *battle, random *rand.Rand) error {
	in := b.pair[random.IntN(2)]
	if random.IntN(2) == 0 {
		return noise(in.ReplicationAddress(), random)
	}
	name := []string{"c", b.pair[0].Name, b.pair[1].Name}[random.IntN(3)]
	h, _ := b.victim(random)
	dir := filepath.Join(b.dir, fmt.Sprintf("stranger-%x", random.Uint64()))
	s, _ := in.Status()
	j, err := forgedJournal(dir, h, s.Cluster)
	if err != nil {
		return err
	}
	defer j.Close()
	links, err := replica.Start(replica.Options{
		Name: name, Group: "pair", Run: random.Uint64(), Journal: j,
		Dial: func(ctx context.Context, address string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", address)
		},
		Destinations: []replica.Destination{{Name: in.Name, Address: in.ReplicationAddress(), Sync: true}},
	})
	if err != nil {
		return err
	}
	defer links.Close()
	select {
	case <-time.After(time.Second):
	case <-ctx.Done():
	}
	for _, s := range links.Status() {
		if s.Sent > 0 || s.State != "down" {
			b.admitted.Add(1)
			return nil
		}
	}
	return errors.New("nothing was sent")
}

// forgedJournal makes a journal in which the victim has gone far, of the pair's own
// cluster: its id is no secret.
func forgedJournal(dir string, h *honest, cluster string) (*journal.Journal, error) {
	j, err := journal.Open(journal.Options{FS: seglog.OS, Dir: dir, SegmentBytes: 1 << 20})
	if err != nil {
		return nil, err
	}
	id, err := hex.DecodeString(cluster)
	if err == nil && len(id) == len(journal.ClusterID{}) {
		err = j.AdoptCluster(journal.ClusterID(id))
	}
	if err != nil {
		return nil, errors.Join(err, j.Close())
	}
	last := h.store.Lives()[0].Last
	identity := bookmark.IdentityOfLife(h.store.Lives()[0].ID)
	records := []journal.Record{
		{Kind: journal.Gone, Publisher: identity.ID, Check: identity.Check, Sequence: last + 1000},
		{Kind: journal.Message, Publisher: identity.ID, Sequence: last + 1001, Prev: last + 1000, Topic: []byte(topic), Body: []byte("evil link")},
	}
	for _, r := range records {
		if _, err := j.Append(&r); err != nil {
			return nil, errors.Join(err, j.Close())
		}
	}
	return j, nil
}

// noise sends bytes that mean nothing.
func noise(address string, random *rand.Rand) error {
	conn, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	b := make([]byte, random.IntN(64<<10))
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	if random.IntN(2) == 0 && len(b) >= 4 {
		b[0], b[1] = 0, 0 // a length that passes
	}
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	if _, err := conn.Write(b); err != nil {
		return err
	}
	if n, err := io.ReadAll(io.LimitReader(conn, 1<<20)); err == nil && len(n) > maxStrangerAnswer {
		return fmt.Errorf("a stranger was told %d bytes", len(n))
	}
	return errors.New("not a peer")
}

// maxStrangerAnswer is the longest answer to noise: a refusal that says nothing.
const maxStrangerAnswer = 64

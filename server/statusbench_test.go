package server

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/internal/journal"
)

// BenchmarkStatus measures the status of an instance with 100,000 publishers, all of which wait for
// a peer that is away, and with 10,000 subscriptions. append-p999 and append-max are the time that
// an append to the journal took meanwhile, at up to 5,000 a second; those with idle without a status. bytes is the length of
// the status as JSON.
func BenchmarkStatus(b *testing.B) {
	s := benchInstance(b)
	append1 := func(p, sequence uint64) {
		r := journal.Record{Kind: journal.Message, Publisher: p, Sequence: sequence, Prev: sequence - 1, Topic: []byte("orders"), Body: []byte("body")}
		if v, err := s.journal.Append(&r); err != nil || v != journal.Accepted {
			b.Fatal(v, err)
		}
	}
	const publishers = 100_000
	for p := range uint64(publishers) {
		append1(p+1, 1)
	}
	subscribeMany(b, s)
	sequence := uint64(1)
	appends := func(stop <-chan struct{}) (took []time.Duration) {
		pace := time.NewTicker(200 * time.Microsecond)
		defer pace.Stop()
		for {
			select {
			case <-stop:
				slices.Sort(took)
				return took
			case <-pace.C:
				sequence++
				began := time.Now()
				append1(1, sequence)
				took = append(took, time.Since(began))
			}
		}
	}
	report := func(name string, took []time.Duration) {
		b.ReportMetric(float64(took[len(took)*999/1000].Microseconds()), name+"-p999-µs")
		b.ReportMetric(float64(took[len(took)-1].Microseconds()), name+"-max-µs")
	}
	run := func(work func()) []time.Duration {
		stop, result := make(chan struct{}), make(chan []time.Duration)
		go func() { result <- appends(stop) }()
		work()
		close(stop)
		return <-result
	}
	idle := run(func() { <-time.After(3 * time.Second) })
	var st Status
	b.ResetTimer()
	busy := run(func() {
		for b.Loop() {
			st = s.statusPage("", MaxSessionsPerPage)
		}
	})
	b.StopTimer()
	report("idle", idle)
	report("append", busy)
	text, err := json.Marshal(st)
	if err != nil || st.Publishers != publishers || st.Waiting.Publishers != publishers || st.Subscriptions.Total != 10_000 || len(st.Waiting.Worst) != maxWorst {
		b.Fatalf("%v: %.2000s", err, text)
	}
	b.ReportMetric(float64(len(text)), "bytes")
	for name, do := range map[string]func() any{
		"publishers page":    func() any { return s.Publishers(0, 1000) },
		"subscriptions page": func() any { return s.Subscriptions("", 1000) },
		"insync":             func() any { return s.InSync() },
	} {
		began := time.Now()
		do()
		b.Logf("%s: %v", name, time.Since(began))
	}
}

// benchInstance starts one of a pair without the other.
func benchInstance(b *testing.B) *Server {
	s, err := Start(Config{
		Name: "a", Group: "pair", Data: b.TempDir(), Bootstrap: true, RejoinTimeout: Duration(time.Second),
		Clients: ClientPort{Listen: "127.0.0.1:0"},
		Replication: &Replication{
			Listen: "127.0.0.1:0", SecretKey: make([]byte, 32),
			Destinations: []Destination{{Name: "b", Address: "127.0.0.1:1", Ack: "sync"}},
		},
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	<-s.Ready()
	return s
}

// subscribeMany makes 10 sessions with 1,000 subscriptions each.
func subscribeMany(b *testing.B, s *Server) {
	for n := range 10 {
		conn, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { conn.Close() })
		go io.Copy(io.Discard, conn)
		send := func(text string) {
			if _, err := conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...)); err != nil {
				b.Fatal(err)
			}
		}
		send(fmt.Sprintf(`{"c":"logon","cid":"0","client_name":"reader %d","mt":"json","a":"processed","version":"1.0:raw"}`, n))
		for id := range 1000 {
			send(fmt.Sprintf(`{"c":"subscribe","cid":"s%d","t":"topic%d"}`, id, id))
		}
	}
	for s.Status().Subscriptions.Total < 10_000 {
		<-time.After(100 * time.Millisecond)
	}
}

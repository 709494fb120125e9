package bench

import (
	"fmt"
	"io"
	"runtime"
	"strings"
	"time"
)

// A Result is the measurement of a run and its conditions. Its JSON form is one
// object, whose field names do not change. Fields that a benchmark does not
// measure are left out. A run that lost or repeated a message has no result, so
// the two counts are always 0: they document that the run counted.
type Result struct {
	Bench    Benchmark `json:"bench"`
	Messages int       `json:"messages"`   // published, without warm-up
	Seconds  float64   `json:"seconds"`    // publish, latency: from the first publish to the last persisted ack; replay: from subscribing to the last message at the last subscriber; fanout: from the first publish to the last persisted ack; failover: of publishing
	Rate     float64   `json:"msgs_per_s"` // Messages / Seconds; replay: at one subscriber
	MB       float64   `json:"mb_per_s"`   // of bodies, in 1,000,000 bytes

	Deliveries  float64    `json:"deliveries_per_s,omitempty"`   // replay, fanout: at all subscribers together
	FirstUS     float64    `json:"first_message_us,omitempty"`   // replay: from subscribing to the first message, at the subscriber that waited longest
	LatencyUS   *Quantiles `json:"latency_us,omitempty"`         // latency: to the persisted ack
	DeliveryUS  *Quantiles `json:"delivery_us,omitempty"`        // fanout and failover at a rate: to the subscriber's loop
	OfferedRate float64    `json:"offered_msgs_per_s,omitempty"` // open loop: the requested rate; latencies begin at the due time of a message, so none is omitted

	Failover *FailoverTimes `json:"failover_ms,omitempty"`

	Lost       int `json:"lost"`
	Duplicated int `json:"duplicated"`

	Copies         int     `json:"copies"`                       // servers on which every message was found afterwards
	Body           int     `json:"body"`                         // bytes
	Window         int     `json:"window"`                       // maximum of messages in flight of a publisher: the limit of its store (failover: the client's window)
	Publishers     int     `json:"publishers"`                   // clients, each with its own store and connection
	Subscribers    int     `json:"subscribers"`                  // clients
	Fsync          string  `json:"fsync"`                        // of the servers: always "before each ack"
	Store          string  `json:"store"`                        // of the publishers: memory, file, bolt
	StoreFsync     string  `json:"store_fsync"`                  // never, every 10ms, before sending
	Secure         bool    `json:"secure,omitempty"`             // TLS on clients and links, and a user with SCRAM
	StartedPair    bool    `json:"started_pair"`                 // the servers were processes of this machine, started for the run
	DowngradeAfter float64 `json:"downgrade_after_ms,omitempty"` // of that pair
	Cores          int     `json:"cores"`
	Filesystem     string  `json:"filesystem"` // of the stores, and the journals of that pair
	Go             string  `json:"go"`
	Platform       string  `json:"platform"` // such as linux/amd64
}

// Quantiles are quantiles of durations, in microseconds.
type Quantiles struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
}

// FailoverTimes are milliseconds from the kill. Only messages published after the
// killed process was gone count, so acks and messages that were still in flight
// from it do not.
type FailoverTimes struct {
	Ack      float64 `json:"ack"`      // to the first persisted ack of either level, at the publisher that waited longest
	Delivery float64 `json:"delivery"` // to the first message, at the subscriber that waited longest
}

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// newResult returns a result with the conditions of the run.
func newResult(b Benchmark, o *Options, dir string) *Result {
	r := &Result{
		Bench: b, Body: o.Size, Window: o.Window, Secure: o.Secure, Publishers: o.Publishers, Subscribers: o.Subscribers,
		Fsync: "before each ack", Store: o.Store, StoreFsync: o.storeSync(), OfferedRate: o.Rate,
		Cores: runtime.GOMAXPROCS(0), Filesystem: fileSystem(dir),
		Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}
	if len(o.Servers) == 0 {
		r.StartedPair, r.DowngradeAfter = true, milliseconds(o.DowngradeAfter)
	}
	return r
}

// setRates fills in the rates.
func (r *Result) setRates(messages int, d time.Duration) {
	r.Messages, r.Seconds = messages, d.Seconds()
	r.Rate = float64(messages) / r.Seconds
	r.MB = r.Rate * float64(r.Body) / 1e6
}

// Print writes the result as text.
func (r *Result) Print(w io.Writer) {
	fmt.Fprintf(w, "%s: %d messages in %.3f s: %.0f msgs/s, %.1f MB/s\n", r.Bench, r.Messages, r.Seconds, r.Rate, r.MB)
	if r.Deliveries > 0 {
		fmt.Fprintf(w, "deliveries: %.0f/s at %s\n", r.Deliveries, plural(r.Subscribers, "subscriber"))
	}
	if r.FirstUS > 0 {
		fmt.Fprintf(w, "first message: after %.2f ms\n", r.FirstUS/1e3)
	}
	r.LatencyUS.print(w, "to the persisted ack")
	r.DeliveryUS.print(w, "to the subscriber")
	if f := r.Failover; f != nil {
		fmt.Fprintf(w, "after the kill: next persisted ack %.1f ms, next message at the subscriber %.1f ms\n", f.Ack, f.Delivery)
	}
	fmt.Fprintf(w, "counted: %d lost, %d duplicated\n", r.Lost, r.Duplicated)
	fmt.Fprintln(w, r.conditions())
}

func (q *Quantiles) print(w io.Writer, label string) {
	if q != nil {
		fmt.Fprintf(w, "%s: p50 %.3f ms, p90 %.3f, p99 %.3f, p99.9 %.3f, max %.3f\n", label, q.P50/1e3, q.P90/1e3, q.P99/1e3, q.P999/1e3, q.Max/1e3)
	}
}

// conditions describes the conditions of the measurement.
func (r *Result) conditions() string {
	parts := []string{
		plural(r.Copies, "copy"), "servers sync " + r.Fsync,
		fmt.Sprintf("%s store syncs %s", r.Store, r.StoreFsync),
		fmt.Sprintf("bodies of %d B", r.Body), fmt.Sprintf("window %d", r.Window),
		plural(r.Publishers, "publisher"), plural(r.Subscribers, "subscriber"),
	}
	if r.Secure {
		parts = append(parts, "TLS on clients and links, a user with SCRAM")
	}
	if r.OfferedRate > 0 {
		parts = append(parts, fmt.Sprintf("%.0f msgs/s offered (open loop, counted from when each was due)", r.OfferedRate))
	}
	if r.Failover != nil {
		parts = append(parts, fmt.Sprintf("downgrade after %.0f ms", r.DowngradeAfter))
	}
	return "conditions: " + strings.Join(append(parts, plural(r.Cores, "core"), r.Filesystem, r.Go, r.Platform), ", ")
}

func plural(n int, word string) string {
	switch {
	case n == 1:
		return "1 " + word
	case strings.HasSuffix(word, "py"):
		return fmt.Sprintf("%d %sies", n, strings.TrimSuffix(word, "y"))
	}
	return fmt.Sprintf("%d %ss", n, word)
}

package metrics

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/server"
	"github.com/holdfast-mq/holdfast/server/servertest"
)

// A scrape has the values of all series, by name with labels.
type scrape map[string]float64

// take scrapes an instance. A registry of this kind checks what a collector returns.
func take(t *testing.T, s *server.Server) scrape {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(New(s))
	all, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := make(scrape)
	for _, f := range all {
		for _, m := range f.GetMetric() {
			name := seriesName(f.GetName(), m)
			switch {
			case m.GetHistogram() != nil:
				values[name+"_count"] = float64(m.GetHistogram().GetSampleCount())
				values[name+"_sum"] = m.GetHistogram().GetSampleSum()
			case m.GetCounter() != nil:
				values[name] = m.GetCounter().GetValue()
			default:
				values[name] = m.GetGauge().GetValue()
			}
		}
	}
	return values
}

// seriesName returns the name of a series without the prefix, such as link_up{b}.
func seriesName(name string, m *dto.Metric) string {
	name = strings.TrimPrefix(name, "holdfast_")
	if len(m.GetLabel()) == 0 {
		return name
	}
	var labels []string
	for _, l := range m.GetLabel() {
		labels = append(labels, l.GetValue())
	}
	return name + "{" + strings.Join(labels, ",") + "}"
}

// want checks the values of some series.
func (s scrape) want(t *testing.T, when string, want scrape) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if got, there := s[name]; !there || got != want[name] {
			t.Errorf("%s: %s is %v (%v), want %v", when, name, got, there, want[name])
		}
	}
}

func (s scrape) wantPositive(t *testing.T, when string, names ...string) {
	t.Helper()
	for _, name := range names {
		if s[name] <= 0 {
			t.Errorf("%s: %s is %v", when, name, s[name])
		}
	}
}

// names returns the names of the metrics with a series.
func (s scrape) names() map[string]bool {
	names := make(map[string]bool)
	for name := range s {
		name, _, _ = strings.Cut(name, "{")
		names["holdfast_"+strings.TrimSuffix(strings.TrimSuffix(name, "_count"), "_sum")] = true
	}
	return names
}

// publish publishes messages on a topic and returns when the server has acknowledged them.
func publish(t *testing.T, c *client.Client, n int) {
	t.Helper()
	for i := range n {
		if _, err := c.Publish(t.Context(), "orders", fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func dial(t *testing.T, cfg client.Config) *client.Client {
	t.Helper()
	c, err := client.Dial(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// The metrics tell of a peer that goes away, of the messages that are acknowledged without it, and
// of its return.
func TestDowngrade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := servertest.NewPair(t, servertest.DowngradeAfter(5*time.Second))
		c := dial(t, pair.A.Client("gateway"))
		defer c.Close()
		time.Sleep(time.Second) // both have dialled: one connection is left, and no record is sent on two
		publish(t, c, 10)
		time.Sleep(time.Second)
		s := take(t, pair.A.Server())
		s.want(t, "in sync", scrape{
			"ready": 1, "single": 0, "sync_status{sync}": 1, "sync_status{single}": 0, "published_messages_total": 10, "publishers": 1,
			"journal_records": 10, "unsafe_messages": 0, "link_up{b}": 1, "link_single{b}": 0, "link_role{b,sync}": 1, "link_role{b,async}": 0,
			"link_state{b,sync}": 1, "link_state{b,down}": 0, "link_lag_records{b}": 0, "link_lag_bytes{b}": 0, "link_sent_records_total{b}": 10,
			"link_acked_alone_messages_total{b}": 0, "link_single_intervals_total{b}": 0, "sessions": 1, "logons_total": 1,
			"link_hold_used_bytes{b}": 0, "disk_full": 0,
		})
		s.wantPositive(t, "in sync", "published_bytes_total", "journal_bytes", "journal_end_position_bytes", "ack_duration_seconds_count",
			"journal_sync_duration_seconds_count", "link_sent_bytes_total{b}", "link_received_bytes_total{b}", "disk_free_bytes", "disk_reserve_bytes",
			"start_time_seconds", "journal_oldest_record_time_seconds", "clients_received_bytes_total", "clients_sent_bytes_total")
		if _, there := s["link_single_since_time_seconds{b}"]; there {
			t.Error("a link that counts has the time of a downgrade")
		}

		pair.B.Kill()
		publish(t, c, 5)
		time.Sleep(time.Second)
		downgraded := float64(time.Now().UnixMicro())/1e6 - 1
		s = take(t, pair.A.Server())
		s.want(t, "single", scrape{
			"single": 1, "sync_status{single}": 1, "link_up{b}": 0, "link_single{b}": 1, "link_state{b,down}": 1, "link_lag_records{b}": 5,
			"unsafe_messages": 5, "link_acked_alone_messages_total{b}": 5, "link_single_intervals_total{b}": 1,
			"link_single_since_time_seconds{b}": downgraded, "link_single_seconds_total{b}": 1,
		})
		s.wantPositive(t, "single", "link_lag_bytes{b}", "link_hold_used_bytes{b}", "link_lag_seconds{b}")
		if s["link_hold_left_bytes{b}"] != s["hold_limit_bytes"]-s["link_hold_used_bytes{b}"] {
			t.Error("what is left of hold does not match")
		}

		pair.B.Restart()
		if err := c.FlushSafe(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		after := take(t, pair.A.Server())
		after.want(t, "back", scrape{
			"single": 0, "link_up{b}": 1, "link_single{b}": 0, "link_lag_records{b}": 0, "unsafe_messages": 0, "link_hold_used_bytes{b}": 0,
			"link_acked_alone_messages_total{b}": 5, "link_single_intervals_total{b}": 1,
		})
		if after["link_single_seconds_total{b}"] < s["link_single_seconds_total{b}"] {
			t.Error("the time without the peer has become less")
		}
	})
}

// Each metric of the code has a series, except those of things that a healthy instance does not have.
func TestAllAreCollected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := servertest.NewPair(t)
		c := dial(t, pair.A.Client("gateway"))
		defer c.Close()
		publish(t, c, 1)
		names := take(t, pair.A.Server()).names()
		for i := range families {
			switch name := families[i].name; name {
			case "holdfast_certificate_expiry_time_seconds", "holdfast_link_single_since_time_seconds",
				"holdfast_publisher_unsafe_messages", "holdfast_subscription_lag_bytes", "holdfast_subscription_lag_records", "holdfast_subscription_lag_seconds":
			default:
				if !names[name] {
					t.Errorf("%s has no series", name)
				}
			}
		}
	})
}

// Publishers and subscriptions that are behind have series, twenty at most.
func TestSlowest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := servertest.NewPair(t, servertest.DowngradeAfter(time.Second))
		pair.B.Kill()
		for i := range 25 {
			c := dial(t, pair.A.Client(fmt.Sprintf("gateway-%02d", i)))
			publish(t, c, i+1)
			c.Close()
		}
		s, publishers := take(t, pair.A.Server()), 0
		for name, n := range s {
			if strings.HasPrefix(name, "publisher_unsafe_messages{") {
				publishers++
				if n <= 5 {
					t.Errorf("%s is %v: there are twenty that are further behind", name, n)
				}
			}
		}
		if publishers != 20 || s["unsafe_messages"] != 25*26/2 {
			t.Errorf("%d publishers have series, %v messages are unsafe", publishers, s["unsafe_messages"])
		}
	})
}

// A subscription that waits until messages are safe is behind, in bytes, records and seconds.
func TestSubscriptionLag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := servertest.NewPair(t, servertest.DowngradeAfter(time.Hour))
		pair.B.Kill()
		c, desk := dial(t, pair.A.Client("gateway")), dial(t, pair.A.Client("desk"))
		defer c.Close()
		defer desk.Close()
		if _, err := desk.Subscribe(t.Context(), "orders", client.From(client.Epoch), client.FullyDurable()); err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			if _, err := c.Publish(t.Context(), "orders", fmt.Append(nil, i)); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(10 * time.Second)
		s := take(t, pair.A.Server())
		if s["subscription_lag_records{desk}"] != 3 || s["subscription_lag_seconds{desk}"] != 10 || s["subscription_lag_bytes{desk}"] <= 0 {
			t.Errorf("records %v, seconds %v, bytes %v", s["subscription_lag_records{desk}"], s["subscription_lag_seconds{desk}"], s["subscription_lag_bytes{desk}"])
		}
		s.want(t, "alone", scrape{"in_sync": 0, "link_left_out{b}": 0})
	})
}

// Refusals are counted by kind and reason.
func TestRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := servertest.New(t)
		cfg := i.Client("gateway")
		cfg.Hooks.FailedWrite = func(*client.RejectedError) {}
		c := dial(t, cfg)
		defer c.Close()
		if _, err := c.Publish(t.Context(), "/AMPS/own", []byte("x")); err != nil {
			t.Fatal(err)
		}
		_ = c.Flush(t.Context())
		if _, err := c.Subscribe(t.Context(), "orders(", client.From(client.Epoch)); err == nil {
			t.Error("a bad pattern is accepted")
		}
		s := take(t, i.Server())
		s.want(t, "refused", scrape{
			"refusals_total{publish,invalid topic}": 1, "refusals_total{subscribe,bad regex topic}": 1, "refusals_total{logon,auth failure}": 0,
			"rejected_messages_total": 1, "journal_tombstones": 1,
		})
	})
}

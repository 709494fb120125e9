package main

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/server"
)

// Limits of the degraded intervals of an instance, and of the differing publishers,
// that are shown without --all.
const maxIntervalsShown, maxDifferingShown = 3, 10

// secondsLayout is RFC 3339 to the second, for people.
const secondsLayout = "2006-01-02T15:04:05Z07:00"

// print shows a report to a person.
func (r *statusReport) print(o *output, all bool) {
	t := r.table()
	t.print(o)
	r.printDegraded(o, all)
	r.printPublishers(o, all)
	if r.Well {
		o.printf("\nall is well (%s)\n", r.Time.UTC().Format(secondsLayout))
		return
	}
	o.printf("\n%s (%s):\n", strings.ToUpper(r.heading()), r.Time.UTC().Format(secondsLayout))
	for _, p := range r.Problems {
		if p.Instance != "" {
			p.Text = p.Instance + ": " + p.Text
		}
		o.printf("  %s\n", p.Text)
	}
}

// heading returns the word above the problems. An instance that does not answer is wrong for people.
func (r *statusReport) heading() string {
	if r.State == stateDegraded {
		return r.State.String()
	}
	return stateWrong.String()
}

// A table is rows of cells. The first cell of a row is its label.
type table [][]string

func (t *table) add(cells ...string) { *t = append(*t, cells) }

// print writes the table with its columns aligned.
func (t table) print(o *output) {
	w := tabwriter.NewWriter(o.out, 0, 0, 2, ' ', 0)
	for _, row := range t {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	w.Flush()
}

// table returns the table with one column for each instance.
func (r *statusReport) table() table {
	var t table
	r.addRow(&t, "", func(s *server.Status) string { return printable(s.Name) })
	addresses := []string{"address"}
	for _, i := range r.Instances {
		addresses = append(addresses, i.Address)
	}
	t.add(addresses...)
	r.addRow(&t, "state", stateText)
	if !slices.ContainsFunc(r.Instances, func(i instanceReport) bool { return i.Status != nil }) {
		return t
	}
	r.addRow(&t, "version", func(s *server.Status) string { return printable(s.Version) })
	r.addRow(&t, "cluster", clusterText)
	r.addRow(&t, "role", roleText)
	r.addRow(&t, "sync status", func(s *server.Status) string { return syncText(s.Sync) })
	r.addRow(&t, "acks", acksText)
	r.addRow(&t, "sessions", sessionsText)
	r.addRow(&t, "publishers", func(s *server.Status) string { return thousands(uint64(s.Publishers)) })
	r.addRow(&t, "journal files", func(s *server.Status) string { return bytesText(s.JournalBytes) })
	r.accessRows(&t)
	r.linkRows(&t)
	r.counterRows(&t)
	return t
}

// addRow adds a row with one cell for each instance, made from its status.
func (r *statusReport) addRow(t *table, label string, cell func(*server.Status) string) {
	cells := []string{label}
	for _, i := range r.Instances {
		switch {
		case i.Status != nil:
			cells = append(cells, cell(i.Status))
		case label == "state":
			cells = append(cells, "DOES NOT ANSWER")
		default:
			cells = append(cells, "-")
		}
	}
	t.add(cells...)
}

// stateText returns "ready" or the state that prevents it, and further problems.
func stateText(s *server.Status) string {
	words := []string{"NOT READY"}
	switch {
	case s.Stopping:
		words[0] = "STOPPING"
	case s.Ready:
		words[0] = "ready"
	}
	if s.CatchingUp {
		words = append(words, "CATCHING UP")
	}
	if s.Damage != "" {
		words = append(words, "DAMAGED")
	}
	return strings.Join(words, ", ")
}

// clusterText returns the beginning of the cluster id, and says if the journal is not intact.
func clusterText(s *server.Status) string {
	switch {
	case s.Cluster == "":
		return "NONE YET"
	case !s.Intact:
		return shortCluster(s.Cluster) + ", NOT INTACT"
	}
	return shortCluster(s.Cluster)
}

// roleText returns the role of an instance in its group.
func roleText(s *server.Status) string {
	switch s.Role {
	case server.RoleSync:
		return "synchronous"
	case server.RoleAsync:
		return "asynchronous"
	case server.RoleAlone:
		return "alone"
	}
	return "-"
}

// acksText returns the number of disks that have a message when its publisher gets an ack.
func acksText(s *server.Status) string {
	disks, missing := 1, ""
	for _, l := range s.Links {
		if l.Sync {
			disks++
		}
		if l.Sync && l.State == "down" && l.OldestWaitMS > 0 {
			missing = ", WAIT FOR " + printable(l.Peer)
		}
	}
	switch {
	case isAsync(s):
		return "one disk: asynchronous"
	case s.Single:
		return "SINGLE: one disk"
	case disks == 1:
		return "one disk, no peer"
	}
	return fmt.Sprintf("%d disks", disks) + missing
}

// sessionsText returns the numbers of sessions and of their subscriptions. Any session with a publish
// store may publish, so that the number of those would tell nothing.
func sessionsText(s *server.Status) string {
	subscriptions := 0
	for _, session := range s.Sessions {
		subscriptions += session.Subscriptions
	}
	if len(s.Sessions) == 0 {
		return "0"
	}
	return fmt.Sprintf("%s with %s", thousands(uint64(len(s.Sessions))), plural(subscriptions, "subscription"))
}

// accessRows adds the rows about users and certificates, if an instance has any.
func (r *statusReport) accessRows(t *table) {
	has := func(what func(*server.Status) bool) bool {
		return slices.ContainsFunc(r.Instances, func(i instanceReport) bool { return i.Status != nil && what(i.Status) })
	}
	if has(func(s *server.Status) bool { return s.Users != nil }) {
		r.addRow(t, "users", usersText)
	}
	if has(func(s *server.Status) bool { return len(s.Certificates) > 0 }) {
		r.addRow(t, "certificates", certificatesText)
	}
}

// usersText returns the version of the permissions, the beginning of their hash, and the peers that
// have other ones.
func usersText(s *server.Status) string {
	u := s.Users
	if u == nil {
		return "NONE"
	}
	text := fmt.Sprintf("version %d, %s", u.Version, quoteIfNeeded(u.Hash[:min(len(u.Hash), 8)]))
	if len(u.Differ) > 0 {
		text += ", DIFFER FROM " + printable(strings.Join(u.Differ, ", "))
	}
	return text
}

// certificatesText returns how long the certificates are valid: the one that expires first.
func certificatesText(s *server.Status) string {
	if len(s.Certificates) == 0 {
		return "none"
	}
	first := slices.MinFunc(s.Certificates, func(a, b server.CertificateStatus) int { return a.DaysLeft - b.DaysLeft })
	switch {
	case first.DaysLeft < 0:
		return printable(first.Field) + ": EXPIRED"
	case first.DaysLeft < minDaysLeft:
		return printable(first.Field) + ": " + strings.ToUpper(plural(first.DaysLeft, "day")) + " LEFT"
	}
	return plural(first.DaysLeft, "day") + " left"
}

// linkRows adds a group of rows for each link of an instance.
func (r *statusReport) linkRows(t *table) {
	most := 0
	for _, i := range r.Instances {
		if i.Status != nil {
			most = max(most, len(i.Status.Links))
		}
	}
	for n := range most {
		link := func(label string, cell func(*server.LinkStatus) string) {
			r.addRow(t, label, func(s *server.Status) string {
				if n >= len(s.Links) {
					return "-"
				}
				return cell(&s.Links[n])
			})
		}
		link("link", linkText)
		link("  behind", behindText)
		if r.hasComing(n) {
			link("  to come", comingText)
		}
		link("  sent, received", func(l *server.LinkStatus) string { return thousands(l.Sent) + ", " + thousands(l.Received) })
	}
}

// hasComing reports whether an instance knows how much is to come on its link n.
func (r *statusReport) hasComing(n int) bool {
	return slices.ContainsFunc(r.Instances, func(i instanceReport) bool {
		return i.Status != nil && n < len(i.Status.Links) && i.Status.Links[n].Receiving != nil
	})
}

// comingText returns how many records the peer has yet to send to the instance.
func comingText(l *server.LinkStatus) string {
	switch h := l.Receiving; {
	case h == nil:
		return "-"
	case h.Remaining == 0:
		return "nothing"
	default:
		return headwayText(h)
	}
}

// headwayText returns the rest, the rate and the time left of one direction.
func headwayText(h *server.Headway) string {
	return "about " + recordsText(h.Remaining) + speedText(h)
}

func recordsText(n uint64) string {
	if n == 1 {
		return "1 record"
	}
	return thousands(n) + " records"
}

// speedText returns the rate of one direction and the time left, if it can be told.
func speedText(h *server.Headway) string {
	text := fmt.Sprintf(", %s/s", thousands(h.Rate))
	if h.LeftMS >= 0 {
		text += fmt.Sprintf(", %v left", secondsUp(h.LeftMS))
	}
	return text
}

// secondsUp returns a number of milliseconds, rounded up to seconds.
func secondsUp(ms int64) time.Duration { return time.Duration((ms+999)/1000) * time.Second }

// linkText returns the directions of a link, its peer and its state.
func linkText(l *server.LinkStatus) string {
	way := "-> "
	switch {
	case l.Outbound && l.Inbound:
		way = "<-> "
	case l.Inbound:
		way = "<- "
	}
	words := []string{l.State}
	if l.State == "down" || l.State == "catching-up" {
		words[0] = strings.ToUpper(words[0])
	}
	switch {
	case l.Ack == "downgraded":
		words = append(words, "DOWNGRADED")
	case l.Ack != "":
		words = append(words, printable(l.Ack))
	case l.Outbound, l.Inbound && !l.InboundSync && l.State != "down":
		words = append(words, "async")
	}
	if l.GivenUp {
		words = append(words, "GIVEN UP")
	}
	return way + printable(l.Peer) + ": " + strings.Join(words, ", ")
}

// behindText returns the number of records that the peer has not acknowledged, and how
// long the oldest of them has waited.
func behindText(l *server.LinkStatus) string {
	switch {
	case !l.Outbound:
		return "-"
	case l.Unacknowledged == 0 && l.OldestWaitMS == 0:
		return "nothing"
	}
	text := recordsText(l.Unacknowledged)
	if h := l.Sending; h != nil && h.Remaining > 0 && l.State == "catching-up" {
		text += speedText(h)
	}
	if l.OldestWaitMS > 0 {
		text += fmt.Sprintf(", oldest waits %v", time.Duration(l.OldestWaitMS)*time.Millisecond)
	}
	return text
}

// counterRows adds the counters. Rare ones are left out while they are 0.
func (r *statusReport) counterRows(t *table) {
	for _, c := range []struct {
		label  string
		always bool
		count  func(*server.Status) uint64
	}{
		{"logons", true, func(s *server.Status) uint64 { return s.Logons }},
		{"published", true, func(s *server.Status) uint64 { return s.Published }},
		{"delivered", true, func(s *server.Status) uint64 { return s.Delivered }},
		{"duplicates", false, func(s *server.Status) uint64 { return s.Duplicates }},
		{"refused", false, func(s *server.Status) uint64 { return s.Refused }},
		{"publish gaps", false, func(s *server.Status) uint64 { return s.PublishGaps }},
		{"gaps", false, func(s *server.Status) uint64 { return s.Gaps }},
		{"fenced", false, func(s *server.Status) uint64 { return s.Fenced }},
		{"slow clients", false, func(s *server.Status) uint64 { return s.Slow }},
		{"turned away", false, func(s *server.Status) uint64 { return s.TurnedAway }},
		{"auth failures", false, func(s *server.Status) uint64 { return s.AuthFailures }},
		{"not entitled", false, func(s *server.Status) uint64 { return s.NotEntitled }},
		{"paused", false, func(s *server.Status) uint64 { return s.Paused }},
		{"disk full", false, func(s *server.Status) uint64 { return s.DiskFull }},
		{"log dropped", false, func(s *server.Status) uint64 { return s.LogDropped }},
		{"audit dropped", false, func(s *server.Status) uint64 { return s.AuditDropped }},
		{"differing", false, func(s *server.Status) uint64 { return s.Differing }},
	} {
		show := c.always
		for _, i := range r.Instances {
			show = show || i.Status != nil && c.count(i.Status) > 0
		}
		if show {
			r.addRow(t, c.label, func(s *server.Status) string { return thousands(c.count(s)) })
		}
	}
}

// printDegraded prints the intervals in which acks were single, the newest last.
func (r *statusReport) printDegraded(o *output, all bool) {
	t := table{{"degraded", "without", "from", "to", "for", "publishers"}}
	more := 0
	for _, i := range r.Instances {
		if i.Status == nil {
			continue
		}
		list := i.Status.Degraded
		if total := max(i.Status.DegradedTotal, len(list)); !all && total > maxIntervalsShown {
			list = list[len(list)-min(len(list), maxIntervalsShown):]
			more += total - len(list)
		}
		for _, d := range list {
			t.add(r.degradedRow(i.name(), &d)...)
		}
	}
	if len(t) == 1 {
		return
	}
	o.printf("\n")
	t.print(o)
	if more > 0 {
		o.printf("and %s before (--all lists them)\n", plural(more, "interval"))
	}
}

// degradedRow returns an interval as a row.
func (r *statusReport) degradedRow(name string, d *server.DegradedInterval) []string {
	end, to := d.End, d.End.UTC().Format(secondsLayout)
	if end.IsZero() {
		end, to = r.Time, "ONGOING"
	}
	return []string{"  " + name, printable(d.Destination), d.Begin.UTC().Format(secondsLayout), to,
		max(0, end.Sub(d.Begin)).Round(100 * time.Millisecond).String(), thousands(uint64(max(d.Publishers, len(d.Ranges))))}
}

// printPublishers prints the publishers that differ between the instances.
func (r *statusReport) printPublishers(o *output, all bool) {
	p := r.Publishers
	if p == nil {
		return
	}
	o.printf("\n")
	if p.Error != "" {
		o.printf("publishers not compared: %s\n", p.Error)
		return
	}
	compared := "publishers compared: " + thousands(uint64(p.Compared))
	if !p.Complete {
		compared = "publishers compared, the lowest ids only: " + thousands(uint64(p.Compared))
	}
	if p.Differing == 0 {
		o.printf("%s, all the same\n", compared)
	} else {
		o.printf("%s, %s differ at this moment\n", compared, thousands(uint64(p.Differing)))
		r.printDiffering(o, all)
	}
	for _, b := range p.Behind {
		o.printf("%s, asynchronous, is behind by %s of %s\n", b.Instance, plural(int(min(b.Messages, math.MaxInt)), "message"), plural(b.Publishers, "publisher"))
	}
}

// printDiffering prints the table of the publishers that differ.
func (r *statusReport) printDiffering(o *output, all bool) {
	head := []string{"  publisher", "client"}
	for i := range r.Instances {
		head = append(head, r.Instances[i].name()+": have", "durable", "safe")
	}
	t, list := table{head}, r.Publishers.List
	if !all {
		list = list[:min(len(list), maxDifferingShown)]
	}
	for _, d := range list {
		client := "-"
		if d.Client != "" {
			client = quoteIfNeeded(printable(d.Client))
		}
		row := []string{"  " + strconv.FormatUint(d.Publisher, 10), client}
		for _, p := range d.Instances {
			row = append(row, watermarkCells(p)...)
		}
		t.add(row...)
	}
	t.print(o)
	if more := r.Publishers.Differing - len(list); more > 0 {
		o.printf("and %s more\n", thousands(uint64(more)))
	}
}

// watermarkCells returns have, durable and safe of a publisher on an instance, as cells.
func watermarkCells(p *server.PublisherStatus) []string {
	if p == nil {
		return []string{"-", "-", "-"}
	}
	return []string{strconv.FormatUint(p.Have, 10), strconv.FormatUint(p.Durable, 10), strconv.FormatUint(p.Safe, 10)}
}

// thousands returns n with commas between groups of three digits.
func thousands(n uint64) string {
	text := strconv.FormatUint(n, 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// bytesText returns a number of bytes in a readable unit.
func bytesText(n int64) string {
	for _, u := range []struct {
		size int64
		name string
	}{{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n >= u.size {
			return fmt.Sprintf("%.1f %s", float64(n)/float64(u.size), u.name)
		}
	}
	return fmt.Sprintf("%d B", n)
}

// syncText returns the text of a sync status, "-" if it is unknown.
func syncText(s server.SyncStatus) string {
	if s == client.SyncUnknown {
		return "-"
	}
	return s.String()
}

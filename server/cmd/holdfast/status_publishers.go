package main

import (
	"github.com/holdfast-mq/holdfast/server"
)

// A publishersReport compares the publishers of two instances. While messages
// are published some differ at every moment, since the two are not asked at one.
type publishersReport struct {
	Compared  int         `json:"compared"`        // publishers of either
	Differing int         `json:"differing"`       // of these, not in the same state on both
	Complete  bool        `json:"complete"`        // all of them were compared, not only those with the lowest ids
	Error     string      `json:"error,omitempty"` // why nothing was compared
	List      []differing `json:"list"`            // those that differ, ordered by id; 1,000 at most
}

// A differing is a publisher that differs.
type differing struct {
	Publisher uint64                     `json:"publisher,string"`
	Client    string                     `json:"client,omitempty"` // that publishes with it now, if one does
	Instances [2]*server.PublisherStatus `json:"instances"`        // nil: does not know it
}

// maxDiffering is how many are kept.
const maxDiffering = 1000

// compare compares the publishers of two instances.
func compare(instances []instanceReport, lists []publisherList) *publishersReport {
	r := &publishersReport{List: []differing{}}
	for i := range instances {
		switch {
		case instances[i].Status == nil:
			r.Error = instances[i].Address + " does not answer"
		case lists[i].err != nil:
			r.Error = instances[i].name() + " does not list its publishers: " + printable(cause(lists[i].err).Error())
		}
		if r.Error != "" {
			return r
		}
	}
	clients := clientsOf(instances)
	a, b := common(&lists[0], &lists[1])
	r.Complete = len(a) == len(lists[0].publishers) && len(b) == len(lists[1].publishers) && !lists[0].more && !lists[1].more
	for len(a) > 0 || len(b) > 0 {
		d := differing{}
		d.take(&a, &b)
		d.Client = clients[d.Publisher]
		r.Compared++
		if d.same() {
			continue
		}
		if r.Differing++; len(r.List) < maxDiffering {
			r.List = append(r.List, d)
		}
	}
	return r
}

// common returns what can be compared of two lists that end somewhere.
func common(a, b *publisherList) (inA, inB []server.PublisherStatus) {
	end := ^uint64(0)
	for _, l := range []*publisherList{a, b} {
		if l.more {
			end = min(end, l.last())
		}
	}
	return upTo(a.publishers, end), upTo(b.publishers, end)
}

func upTo(list []server.PublisherStatus, end uint64) []server.PublisherStatus {
	for len(list) > 0 && list[len(list)-1].Publisher > end {
		list = list[:len(list)-1]
	}
	return list
}

// take takes the publisher with the lowest id out of two lists.
func (d *differing) take(a, b *[]server.PublisherStatus) {
	lists := [2]*[]server.PublisherStatus{a, b}
	d.Publisher = ^uint64(0)
	for _, l := range lists {
		if len(*l) > 0 {
			d.Publisher = min(d.Publisher, (*l)[0].Publisher)
		}
	}
	for i, l := range lists {
		if len(*l) > 0 && (*l)[0].Publisher == d.Publisher {
			d.Instances[i], *l = &(*l)[0], (*l)[1:]
		}
	}
}

// same reports whether both instances hold as much, and have it on disk.
// Floors may differ: each has its own retention.
func (d *differing) same() bool {
	a, b := d.Instances[0], d.Instances[1]
	return a != nil && b != nil && a.Have == b.Have && a.Durable == b.Durable
}

// clientsOf returns the names of the clients that publish, by their publishers.
func clientsOf(instances []instanceReport) map[uint64]string {
	names := make(map[uint64]string)
	for _, i := range instances {
		for _, s := range i.Status.Sessions {
			if s.Publisher != 0 {
				names[s.Publisher] = s.Name
			}
		}
	}
	return names
}

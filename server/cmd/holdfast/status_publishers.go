package main

import (
	"maps"
	"slices"

	"github.com/holdfast-mq/holdfast/server"
)

// A publishersReport compares the publishers of two instances. The instances are not
// asked at the same time, so some publishers differ whenever messages are published.
type publishersReport struct {
	Compared  int                  `json:"compared"`        // number of publishers on either instance
	Differing int                  `json:"differing"`       // number of these that are not in the same state on both
	Complete  bool                 `json:"complete"`        // all publishers were compared, not only those with the lowest ids
	Error     string               `json:"error,omitempty"` // why nothing was compared
	List      []differingPublisher `json:"list"`            // the publishers that differ, ordered by id; 1,000 at most
}

// A differingPublisher is a publisher that differs.
type differingPublisher struct {
	Publisher uint64                     `json:"publisher,string"`
	Client    string                     `json:"client,omitempty"` // name of the client that is logged on with it, if any
	Instances [2]*server.PublisherStatus `json:"instances"`        // nil: the instance does not know the publisher
}

// maxDiffering is the number of differing publishers that a report lists at most.
const maxDiffering = 1000

// comparePublishers compares the publishers of two instances.
func comparePublishers(instances []instanceReport, lists []publisherList) *publishersReport {
	r := &publishersReport{List: []differingPublisher{}}
	for i := range instances {
		switch {
		case instances[i].Status == nil:
			r.Error = instances[i].Address + " does not answer"
		case lists[i].err != nil:
			r.Error = instances[i].name() + " does not list its publishers: " + printable(innermostError(lists[i].err).Error())
		}
		if r.Error != "" {
			return r
		}
	}
	clients, publishers := clientsOf(instances), publishersByID(lists)
	r.Compared, r.Complete = len(publishers), !lists[0].truncated && !lists[1].truncated
	for _, id := range slices.Sorted(maps.Keys(publishers)) {
		d := differingPublisher{id, clients[id], publishers[id]}
		if d.same() {
			continue
		}
		if r.Differing++; len(r.List) < maxDiffering {
			r.List = append(r.List, d)
		}
	}
	return r
}

// publishersByID returns the publishers of two instances by id. If a list is not complete,
// publishers with higher ids than its last are left out.
func publishersByID(lists []publisherList) map[uint64][2]*server.PublisherStatus {
	end := ^uint64(0)
	for _, l := range lists {
		if l.truncated {
			end = min(end, l.lastID())
		}
	}
	publishers := make(map[uint64][2]*server.PublisherStatus)
	for side, l := range lists {
		for _, p := range l.publishers {
			if p.Publisher <= end {
				both := publishers[p.Publisher]
				both[side] = &p
				publishers[p.Publisher] = both
			}
		}
	}
	return publishers
}

// same reports whether have and durable are the same on both instances. Floors may
// differ, since each instance has its own retention.
func (d *differingPublisher) same() bool {
	a, b := d.Instances[0], d.Instances[1]
	return a != nil && b != nil && a.Have == b.Have && a.Durable == b.Durable
}

// clientsOf returns the names of the publishing clients, by publisher id.
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

// Package bench measures what a pair of servers does for an application: the
// work of holdfast bench. Each run also counts: a message that is missing, there
// twice or out of order on any server or at any subscriber is an error, and
// there is no figure.
package bench

// Package race searches every order in which two copies of one publish store can
// race on a pair of instances: rule R11 of client/GUARANTEES.md says that no number
// gets two contents as long as the link is up.
//
// The instances' sessions, journals and links are the product's own. Each session,
// frame and answer moves by itself, one move at a time, and every order of these
// moves is tried: a state that was reached before is not gone on from.
package race

// Package adminpage drives the admin page of a pair of instances with a headless browser, and takes
// pictures of it. It is a module of its own because only it needs the protocol of the browser. The
// test is skipped where there is no Chromium.
package adminpage

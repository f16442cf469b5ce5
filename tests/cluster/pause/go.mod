// The process that holds the namespaces of a pod, and those of the node itself.
module meltemi.test/pause

go 1.25.0

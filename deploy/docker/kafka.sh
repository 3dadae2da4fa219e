#!/bin/bash
# One KRaft node with SCRAM users and ACLs; the users are made when the storage is formatted.
set -eu
config=/tmp/server.properties
cat > "$config" <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@kafka:9093
listeners=CLIENT://:9092,CONTROLLER://:9093
advertised.listeners=CLIENT://kafka:9092
listener.security.protocol.map=CLIENT:SASL_PLAINTEXT,CONTROLLER:SASL_PLAINTEXT
inter.broker.listener.name=CLIENT
controller.listener.names=CONTROLLER
sasl.enabled.mechanisms=SCRAM-SHA-512
sasl.mechanism.inter.broker.protocol=SCRAM-SHA-512
sasl.mechanism.controller.protocol=PLAIN
listener.name.client.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required username="admin" password="$SOUK_ADMIN_KAFKA_PASSWORD";
listener.name.controller.sasl.enabled.mechanisms=PLAIN
listener.name.controller.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required username="controller" password="$SOUK_CONTROLLER_KAFKA_PASSWORD" user_controller="$SOUK_CONTROLLER_KAFKA_PASSWORD";
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:admin;User:controller
allow.everyone.if.no.acl.found=false
auto.create.topics.enable=false
log.message.timestamp.type=LogAppendTime
log.dirs=/var/lib/kafka/data
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
PROPERTIES
users=(--add-scram "SCRAM-SHA-512=[name=admin,password=$SOUK_ADMIN_KAFKA_PASSWORD]")
for name in campaign influencer tracking billing notify subscriber; do
  variable="SOUK_${name^^}_KAFKA_PASSWORD"
  users+=(--add-scram "SCRAM-SHA-512=[name=$name,password=${!variable}]")
done
/opt/kafka/bin/kafka-storage.sh format --ignore-formatted --config "$config" \
  --cluster-id "$(/opt/kafka/bin/kafka-storage.sh random-uuid)" "${users[@]}"
exec /opt/kafka/bin/kafka-server-start.sh "$config"

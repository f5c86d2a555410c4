resource "aws_s3_bucket" "attachments" {
  bucket = "helpdesk-attachments-example"
  acl    = "public-read"
}

resource "aws_security_group" "gateway" {
  name        = "helpdesk-gateway"
  description = "Gateway of the help desk"

  ingress {
    description = "SSH from anywhere"
    from_port   = 22
    to_port     = 22
    protocol    = "tcp"
    cidr_blocks = ["0.0.0.0/0"]
  }
}

resource "aws_db_instance" "orders" {
  identifier          = "helpdesk-orders"
  engine              = "postgres"
  instance_class      = "db.t3.micro"
  allocated_storage   = 20
  username            = "helpdesk"
  password            = "example-not-a-real-password"
  publicly_accessible = true
  storage_encrypted   = false
}

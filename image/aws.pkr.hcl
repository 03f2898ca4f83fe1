# A machine image for the engine `aws`: Debian 12 with homeport-agent. `make image REGION=eu-west-1` builds it and says
# where environments find it; docs/reference/aws.md. Packer before 1.7 brings the builder with it, a later one by
# `packer plugins install github.com/hashicorp/amazon`. Paths are from where packer is called: the repository.

variable "region" {
  type = string
}

variable "wheel" {
  type        = string
  description = "Homeport's, as `pip wheel` makes it."
}

variable "constraints" {
  type    = string
  default = "constraints.txt"
}

variable "architecture" {
  type        = string
  default     = "amd64"
  description = "As Debian says it: amd64 or arm64. Releases run on the one they were built on."
}

variable "instance_type" {
  type    = string
  default = "t3.small"
}

variable "manifest" {
  type        = string
  default     = "image.json"
  description = "Where the new image's id is written."
}

locals {
  made = regex_replace(timestamp(), "[^0-9]", "")
}

source "amazon-ebs" "debian" {
  region        = var.region
  instance_type = var.instance_type
  ssh_username  = "admin"
  ami_name      = "homeport-${var.architecture}-${local.made}"
  encrypt_boot  = true
  tags = {
    Name = "homeport"
  }
  source_ami_filter {
    most_recent = true
    owners      = ["136693071363"] # Debian's own account: https://wiki.debian.org/Cloud/AmazonEC2Image/Bookworm
    filters = {
      name                = "debian-12-${var.architecture}-*"
      root-device-type    = "ebs"
      virtualization-type = "hvm"
    }
  }
}

build {
  sources = ["source.amazon-ebs.debian"]

  provisioner "file" {
    sources     = [var.wheel, var.constraints]
    destination = "/tmp/"
  }

  # A new machine installs things by itself in its first minute.
  provisioner "shell" {
    inline = ["cloud-init status --wait"]
  }

  provisioner "shell" {
    script           = "image/provision"
    environment_vars = ["REGION=${var.region}"]
    execute_command  = "sudo {{ .Vars }} {{ .Path }} /tmp/${basename(var.wheel)} /tmp/${basename(var.constraints)}"
  }

  post-processor "manifest" {
    output = var.manifest
  }
}
